internal import Synchronization

extension LoopInbox {
    /// What `body` finds on the loop; `fallback` when the loop has ended, or ends before it comes to it.
    func ask<Answer: Sendable>(
        default fallback: Answer, _ body: @escaping @Sendable (ServerLoop) -> Answer
    ) async -> Answer {
        await withCheckedContinuation { continuation in
            let question = LoopQuestion(continuation, fallback: fallback)
            self.post(.control { loop in question.answer(body(loop)) })
        }
    }

    /// Returns when the loop has handed on what it was given before, or has ended.
    func untilTurnEnds() async {
        await withCheckedContinuation { continuation in
            let question = LoopQuestion(continuation, fallback: ())
            self.post(.control { loop in loop.afterTurn { question.answer(()) } })
        }
    }
}

/// A continuation that is answered when it is forgotten, at the latest.
private final class LoopQuestion<Answer: Sendable>: Sendable {
    private let continuation: Mutex<CheckedContinuation<Answer, Never>?>
    private let fallback: Answer

    init(_ continuation: CheckedContinuation<Answer, Never>, fallback: Answer) {
        self.continuation = Mutex(continuation)
        self.fallback = fallback
    }

    deinit {
        self.answer(self.fallback)
    }

    func answer(_ answer: Answer) {
        let continuation = self.continuation.withLock { continuation in
            defer { continuation = nil }
            return continuation
        }
        continuation?.resume(returning: answer)
    }
}
