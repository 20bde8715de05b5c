internal import LinkspanBridgeKit

/// The `message_id` of our publishes, read back when the upstream returns one as unroutable. Pure.
enum MessageID {
    /// `origin/epoch/seq`, and what else the header has behind a further `/`.
    case origin(UnsafeRawBufferPointer.SubSequence, epoch: UInt64, sequence: UInt64)
    /// `ticket/number`, for messages without header.
    case ticket(UInt64)

    init?(_ text: UnsafeRawBufferPointer) {
        let parts = text.split(separator: UInt8(ascii: "/"), maxSplits: 3, omittingEmptySubsequences: false)
        func number(_ index: Int) -> UInt64? {
            HeaderFields.number(UnsafeRawBufferPointer(rebasing: parts[index]))
        }
        switch parts.count {
        case 3, 4:
            guard let epoch = number(1), let sequence = number(2), parts.last?.isEmpty == false else { return nil }
            self = .origin(parts[0], epoch: epoch, sequence: sequence)
        case 2:
            guard parts[0].elementsEqual("ticket".utf8), let ticket = number(1) else { return nil }
            self = .ticket(ticket)
        default:
            return nil
        }
    }

    func isOf(_ message: EgressMessage) -> Bool {
        switch self {
        case .origin(let instance, let epoch, let sequence):
            guard let origin = message.header?.origin else { return false }
            return origin.sequence == sequence && origin.epoch == epoch
                && origin.instance.string.utf8.elementsEqual(instance)
        case .ticket(let ticket):
            return message.header == nil && message.ticket == ticket
        }
    }
}
