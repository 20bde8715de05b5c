internal import LinkspanBridgeKit

/// An error reply of Redis: a word in capitals and a text for people.
struct ErrorReply: Equatable {
    var text: String

    /// Such as `NOPERM`; `ERR` for errors without a word of their own.
    var word: Substring { self.text.prefix { $0 != " " } }

    enum Verdict: Equatable {
        /// This command is refused for good; others may pass.
        case refused(EgressRefusal)
        /// Nothing passes now; the conversation ends and the host tries again.
        case ends(UpstreamError.Code)
    }

    /// What an error to a command that carries a message means.
    var verdict: Verdict {
        switch self.word {
        case "NOPERM": .refused(.forbidden)
        case "NOAUTH", "WRONGPASS", "DENIED": .ends(.refused)
        // The server is there and cannot take anything at present: out of memory, disk full, a script that blocks it, no quorum.
        case "OOM", "MISCONF", "BUSY", "NOREPLICAS", "TRYAGAIN", "UNKILLABLE": .ends(.stalled)
        // It is not, or no longer, the primary, or still loads its data.
        case "READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "MOVED", "ASK", "UNBLOCKED": .ends(.lost)
        default: .refused(.rejected)
        }
    }

    /// What an error while logging in means.
    var loginError: UpstreamError.Code {
        switch self.word {
        case "LOADING", "MASTERDOWN", "BUSY": .unreachable
        case "ERR" where self.text.contains("max number of clients"): .unreachable
        default: .refused
        }
    }
}

extension ReplyReader {
    /// Why a conversation ends when Redis itself said so.
    func refusal(_ code: UpstreamError.Code) -> UpstreamError {
        UpstreamError(code, "Redis answered: \(self.text(at: 0))")
    }

    /// - Throws: unless a reply that nothing was asked for is the answer to QUIT.
    func checkFarewell() throws(UpstreamError) {
        guard self.text(at: 0) == "OK" else {
            throw UpstreamError(.protocolViolation, "Redis sent a reply to nothing")
        }
    }
}
