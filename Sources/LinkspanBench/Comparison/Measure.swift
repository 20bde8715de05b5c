/// What a row compares.
enum Measure: String, Sendable {
    case serverMicrosecondsPerMessage = "server_us_per_message"
    case serverMicrosecondsPerConnection = "server_us_per_connection"
    case latencyMedianMicroseconds = "p50_us"
    case latency99Microseconds = "p99_us"
    case bytesPerConnection = "bytes_per_connection"
    case bytesPerSlowReader = "bytes_per_slow_reader"
    case corePercent = "core_percent"
    case messagesPerSecond = "messages_per_second"

    var words: String {
        switch self {
        case .serverMicrosecondsPerMessage: "server CPU per message, µs"
        case .serverMicrosecondsPerConnection: "server CPU per connection, µs"
        case .latencyMedianMicroseconds: "p50, µs"
        case .latency99Microseconds: "p99, µs"
        case .bytesPerConnection: "resident memory per connection, bytes"
        case .bytesPerSlowReader: "most memory per slow reader, bytes"
        case .corePercent: "CPU, % of a core"
        case .messagesPerSecond: "messages per second"
        }
    }
}

/// What should be reached.
enum Goal: Sendable, Equatable {
    /// At most so many times what the reference takes.
    case atMostTimes(Double)
    /// At least so many times what the reference does.
    case atLeastTimes(Double)
    case atMost(Double)

    func isMet(value: Double, ratio: Double?) -> Bool? {
        switch self {
        case .atMost(let limit): value <= limit
        case .atMostTimes(let limit): ratio.map { $0 <= limit }
        case .atLeastTimes(let limit): ratio.map { $0 >= limit }
        }
    }

    var words: String {
        switch self {
        case .atMost(let limit): "≤ \(limit.short)"
        case .atMostTimes(let limit): "≤ \(limit.short) ×"
        case .atLeastTimes(let limit): "≥ \(limit.short) ×"
        }
    }
}
