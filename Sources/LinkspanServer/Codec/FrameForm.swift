internal import LinkspanCore

/// How the frames for a subscriber are written: in which codec, and compressed how. All subscribers of one form get the same bytes.
struct FrameForm: Sendable, Hashable {
    /// Small and dense, so that it can number an array.
    let index: UInt16

    /// JSON as it is, what clients read unless they ask for something else.
    static let plain = FrameForm(.json)

    /// - Parameter compression: 0 for none, else counted from 1 in ``ServerContext/compressions``.
    init(_ codec: MessageCodec, compression: Int = 0) {
        self.index = UInt16(compression * 2) + UInt16(codec.rawValue)
    }

    var codec: MessageCodec { self.index & 1 == 0 ? .json : .minBin }
    var compression: Int { Int(self.index / 2) }

    /// All forms of a server whose listeners compress in so many ways.
    static func all(compressions: Int) -> [FrameForm] {
        (0...compressions).flatMap { [FrameForm(.json, compression: $0), FrameForm(.minBin, compression: $0)] }
    }
}
