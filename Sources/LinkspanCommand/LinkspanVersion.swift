/// The version of this package, as `linkspan version` and `/health` tell it.
public enum LinkspanVersion {
    public static let current = "0.1.0"
}
