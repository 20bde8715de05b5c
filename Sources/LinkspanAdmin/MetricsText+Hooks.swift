internal import LinkspanCore
internal import LinkspanServer

/// `linkspan_hook_*`: the services that answer over HTTP.
extension MetricsText {
    private struct HookMetric {
        var name: String
        var kind: Kind
        var help: String
        var values: (HookStatus) -> [(labels: Labels, value: UInt64)]

        init(_ name: String, _ kind: Kind, _ help: String, _ value: @escaping (HookStatus) -> Int) {
            self.init(name, kind, help, values: { [([], UInt64(clamping: value($0)))] })
        }

        init(
            _ name: String, _ kind: Kind, _ help: String,
            values: @escaping (HookStatus) -> [(labels: Labels, value: UInt64)]
        ) {
            self.name = name
            self.kind = kind
            self.help = help
            self.values = values
        }
    }

    private static var ofHooks: [HookMetric] {
        [
            HookMetric("left_alone", .gauge, "Whether it is asked nothing for a while, after failures in a row.") {
                $0.isLeftAlone ? 1 : 0
            },
            HookMetric("questions_total", .counter, "Questions that came.") { $0.asked },
            HookMetric("answers_total", .counter, "Questions that it answered, with an error or without.") {
                $0.answered
            },
            HookMetric(
                "failures_total", .counter, "Questions that it gave no answer to.",
                values: { hook in
                    HookFailure.allCases.map {
                        ([("reason", $0.rawValue)], UInt64(clamping: hook.failures[$0] ?? 0))
                    }
                }),
            HookMetric(
                "presumed_decisions_total", .counter, "Decisions made without it, as the configuration says.",
                values: { hook in
                    HookFallback.allCases.map {
                        ([("decision", $0.rawValue)], UInt64(clamping: hook.presumed[$0] ?? 0))
                    }
                }),
            HookMetric("repeated_attempts_total", .counter, "Attempts beyond the first of each question.") {
                $0.repeated
            },
            HookMetric("waiting_questions", .gauge, "Questions that wait for others to end.") { $0.waiting },
            HookMetric("open_requests", .gauge, "Requests under way.") { $0.underWay },
        ]
    }

    mutating func put(hooks: [HookStatus]) {
        for metric in Self.ofHooks {
            self.put(
                "linkspan_hook_\(metric.name)", metric.kind, metric.help,
                hooks.flatMap { hook in metric.values(hook).map { ([("hook", hook.name)] + $0.labels, $0.value) } })
        }
    }
}
