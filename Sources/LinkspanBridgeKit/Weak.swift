/// Does not keep its object alive.
package final class Weak<Object: AnyObject> {
    package weak var object: Object?

    package init(_ object: Object? = nil) {
        self.object = object
    }
}
