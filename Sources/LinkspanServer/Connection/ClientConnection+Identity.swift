internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanWire

/// Who the client of a connection showed itself to be.
struct ClientIdentity {
    var claims: TokenClaims
    /// Milliseconds since 1970; the largest number when the token says nothing.
    var tokenEnds: UInt64

    init(_ claims: TokenClaims) {
        self.claims = claims
        // Stock test tokens live for a hundred million years: beyond the range of the clock is never.
        let milliseconds = (claims.expiry ?? .infinity) * 1000
        self.tokenEnds = milliseconds < 1e18 ? UInt64(max(0, milliseconds)) : .max
    }
}

/// What became of the token of a handshake or an `#authenticate`.
enum TokenOutcome {
    /// None was sent with a handshake.
    case absent
    case accepted(TokenClaims)
    case refused(TokenRefusal)
    /// It is valid, and middleware does not want it.
    case blocked(ProtocolError)

    func verdict(_ dialect: Dialect) -> TokenVerdict {
        switch self {
        case .absent: .absent
        case .accepted: .accepted
        case .refused(let refusal): .failed(refusal.error(dialect), isBad: refusal.isBadToken)
        case .blocked(let error): .failed(error, isBad: error.isAboutBadToken)
        }
    }
}

extension ClientConnection {
    var wallClockSeconds: Int64 { Int64(self.loop.turn.wallClock / 1000) }

    func judgeToken(_ token: JSONValue?, for purpose: TokenPurpose, text: UnsafeRawBufferPointer) {
        let outcome = self.judge(token, for: purpose, text)
        if case .handshake = purpose, self.program.middleware.asksHandshake,
            self.askAboutHandshake(token, outcome, for: purpose, text: text)
        {
            return
        }
        self.handshakeAdmitted(token, outcome, for: purpose, text: text)
    }

    /// Nobody has anything against the client; now its token.
    func handshakeAdmitted(
        _ token: JSONValue?, _ outcome: TokenOutcome, for purpose: TokenPurpose, text: UnsafeRawBufferPointer
    ) {
        if self.program.middleware.asksToken, self.askAboutToken(token, outcome, for: purpose, text: text) { return }
        self.tokenSettled(outcome, for: purpose, text: text)
    }

    func tokenSettled(_ outcome: TokenOutcome, for purpose: TokenPurpose, text: UnsafeRawBufferPointer) {
        if case .accepted(let claims) = outcome {
            self.identity = ClientIdentity(claims)
        } else {
            self.forgetToken()
        }
        let verdict = outcome.verdict(self.machine?.dialect ?? .v2)
        if case .handshake = purpose, self.machine?.admits(verdict, rules: self.listener.rules) == false {
            self.loop.counters.anonymousRefused.add(1)
        }
        self.decisions = nil
        // The first handshake tells it with the opening.
        if verdict == .accepted, self.session != nil, self.machine?.phase == .open { self.tellAuthentication() }
        let answer = self.machine?.tokenJudged(verdict, for: purpose, rules: self.listener.rules)
        self.run(answer ?? .nothing, text: text)
    }

    private func judge(_ token: JSONValue?, for purpose: TokenPurpose, _ text: UnsafeRawBufferPointer) -> TokenOutcome {
        if token == nil, case .handshake = purpose { return .absent }
        do throws(TokenRefusal) {
            let claims = try self.server.tokens.judge(token, in: text.bytes, now: self.wallClockSeconds)
            self.loop.counters.tokensAccepted.add(1)
            return .accepted(claims)
        } catch {
            switch error {
            case .expired: self.loop.counters.tokensExpired.add(1)
            case .notActive: self.loop.counters.tokensNotActive.add(1)
            case .revoked: self.loop.counters.tokensRevoked.add(1)
            case .notString, .problem: self.loop.counters.tokensInvalid.add(1)
            }
            return .refused(error)
        }
    }

    func forgetToken() {
        let wasKnown = self.identity != nil
        self.identity = nil
        self.decisions = nil
        if wasKnown, self.session != nil { self.tellAuthentication() }
    }

    /// Whether the token has run out since it was last looked at.
    @inline(__always)
    var isTokenOver: Bool {
        guard let identity = self.identity else { return false }
        return identity.tokenEnds < self.loop.turn.wallClock
    }

    /// Tells the client that its token has run out. Its subscriptions stay, as in SocketCluster.
    func endToken() {
        self.loop.counters.tokensExpiredInSession.add(1)
        self.dropToken()
    }

    func dropToken() {
        self.forgetToken()
        if let packet = self.machine?.tokenEnded() { self.answer(packet) }
    }

    /// A packet came while the token was over.
    /// - Returns: whether the packet is answered by that.
    func tokenEnded(before packet: ClientPacket) -> Bool {
        switch packet {
        case .publish, .subscribe, .event: break
        case .handshake, .authenticate, .removeAuthToken, .unsubscribe, .disconnect, .response, .raw: return false
        }
        let expiry = Int64((self.identity?.tokenEnds ?? 0) / 1000)
        self.tokenEnded = expiry
        self.endToken()
        guard let refusal = self.machine?.refusal(of: packet, expiredAt: expiry, rules: self.listener.rules) else {
            return false
        }
        self.answer(refusal)
        return true
    }

    /// An operator took the token back: the client forgets it and is closed, since its subscriptions were made with it.
    func revoke(_ party: RevokedParty) -> Bool {
        guard let identity = self.identity, party.includes(identity.claims), self.stage == .open else { return false }
        self.loop.touch()
        self.dropToken()
        self.loop.counters.connectionsRevoked.add(1)
        self.close(.closedByOperator)
        return true
    }

    // MARK: Permissions

    /// Whether the permissions grant `action`; when they do not, the client is told.
    func mayUse(
        _ channel: StringSlice, for action: ChannelAction, callID: CallID?, text: UnsafeRawBufferPointer
    ) -> Bool {
        let isAllowed = self.withName(channel, in: text) { name in
            if self.decisions == nil { self.decisions = ChannelDecisions() }
            return self.decisions?.allows(
                action, name, permissions: self.program.permissions, claims: self.identity?.claims) ?? false
        }
        if isAllowed { return true }
        switch action {
        case .subscribe: self.loop.counters.subscribesDenied.add(1)
        case .publish: self.loop.counters.publishesDenied.add(1)
        }
        if let callID {
            let error = ProtocolError.notPermitted(action: action.rawValue, channel: channel.string(in: text.bytes))
            self.answer(.failure(callID, error))
        }
        return false
    }
}
