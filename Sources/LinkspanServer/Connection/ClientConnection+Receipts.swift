internal import LinkspanCore
internal import LinkspanWire

/// Publishes whose answers wait for what their bridges do (`ack: buffered` and `ack: confirmed`).
extension ClientConnection {
    func publishForReceipt(
        _ channel: StringSlice, data: UnsafeRawBufferPointer, callID: CallID, text: UnsafeRawBufferPointer
    ) {
        let isAwaited = self.withName(channel, in: text) { name -> Bool in
            let bridges = self.loop.awaitedBridges(on: name)
            guard !bridges.isEmpty else {
                self.loop.publish(name, data: data)
                return false
            }
            let receipt = self.loop.receipts.open(self, callID: callID, bridges: bridges)
            self.loop.publish(name, data: data, receipt: receipt)
            return true
        }
        guard isAwaited else { return self.succeed(callID) }
        self.openReceipts += 1
        if self.openReceipts >= ReceiptDesk.perConnection { self.pauseReading(.receipts) }
    }

    func receiptAnswered() {
        self.openReceipts -= 1
        if self.openReceipts == ReceiptDesk.perConnection / 2 { self.resumeReading(.receipts) }
    }
}
