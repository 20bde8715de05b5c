public import LinkspanBridgeKit
internal import LinkspanCore
public import LinkspanWire

extension Broker {
    /// Publishes as ``exchange(_:_:)`` does, and returns when the bridges that carry `channel` have done what their rules ask (`ack`).
    ///
    /// - Parameter timeout: longest wait; what is late then may still be confirmed.
    /// - Returns: nil for a channel that no bridge with an `ack` carries; the message is then published as ever.
    /// - Throws: what a client would be answered: `ReceiptError` when a bridge gave the message up, `ReceiptTimeoutError` when time or the task was
    ///   over, each with the receipt as its field `receipt`; `BrokerFullError` when the message was not taken.
    public func exchange(
        _ channel: ChannelName, _ data: JSONText?, receiptWithin timeout: Duration
    ) async throws(ProtocolError) -> PublishReceipt? {
        let bridges = self.awaitedBridges(of: channel)
        guard !bridges.isEmpty else {
            guard self.exchange(channel, data) else { throw .brokerFull }
            return nil
        }
        let (accounts, continuation) = AsyncStream.makeStream(of: EgressReceipt.Account.self)
        let receipt = EgressReceipt(bridges) { account in
            continuation.yield(account)
            continuation.finish()
        }
        guard self.exchange(channel, data, receipt) else { throw .brokerFull }
        let settled = await Self.first(of: accounts, within: timeout)
        let account = settled ?? receipt.account
        guard account.isReached else {
            throw .notAcknowledged(PublishReceipt(account), account, isLate: settled == nil)
        }
        return PublishReceipt(account)
    }

    /// Nil when it does not come in time, or the task is cancelled.
    private static func first(
        of accounts: AsyncStream<EgressReceipt.Account>, within timeout: Duration
    ) async -> EgressReceipt.Account? {
        await withTaskGroup(of: EgressReceipt.Account?.self) { group in
            group.addTask {
                for await account in accounts { return account }
                return nil
            }
            group.addTask {
                try? await Task.sleep(for: timeout)
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
    }
}

extension ProtocolError {
    fileprivate static let brokerFull = ProtocolError(
        name: "BrokerFullError", message: "Too much is waiting for the channel, or a bridge that carries it is full")
}
