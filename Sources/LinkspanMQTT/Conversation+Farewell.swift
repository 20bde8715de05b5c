internal import LinkspanBridgeKit

extension Conversation {
    /// One turn after ``leave()``.
    func sayGoodbye() throws(UpstreamError) {
        self.now = .now
        self.noteTaken()
        do throws(MosquittoError) {
            if self.phase == .settling {
                // What the server has not taken must not be acknowledged; without a good-bye the broker will send it again.
                guard self.mayWrite else { return }
                try self.leaveGroup()
                if self.unansweredLeaves.isEmpty { try self.disconnect() } else { self.phase = .leavingGroup }
            }
            if self.phase == .leavingGroup {
                if self.mayRead, self.mayHaveArrivals { try self.receive() }
                if self.mayWrite, self.handle.wantsWrite { try self.handle.write() }
                self.unansweredLeaves.subtract(self.handle.inbox.takeUnsubscribed())
                guard self.unansweredLeaves.isEmpty, !self.mayHaveArrivals, self.mayWrite else { return }
                try self.disconnect()
            }
            if self.phase == .disconnecting { try self.handle.write() }
        } catch {
            throw self.loss(error)
        }
        // The library closes the connection with the last byte of the good-bye.
        guard self.handle.descriptor < 0 else { return }
        try self.reportPublished()
        self.end(nil)
    }

    private func disconnect() throws(MosquittoError) {
        try self.handle.disconnect()
        self.phase = .disconnecting
    }

    /// Lets the others of the group have what comes from now on: a kept session would go on taking its turns. Until the broker has answered it
    /// may choose us; what comes meanwhile is taken and acknowledged, for nobody else would get it.
    private func leaveGroup() throws(MosquittoError) {
        var requests = FilterRequests<ContinuousClock.Instant>()
        requests.add(.unsubscribe, self.filters.active.filter { self.plan.isShared($0) })
        while let (_, topics) = requests.next() {
            self.unansweredLeaves.insert(try self.handle.unsubscribe(topics.map(self.plan.subscription)))
        }
    }
}
