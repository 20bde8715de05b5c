internal import Foundation
public import LinkspanBridgeKit
internal import LinkspanCore
public import LinkspanServer

/// Why a message of one channel goes where it goes: what `linkspan explain` prints and `GET /explain` answers.
public struct ExplainReport: Codable, Hashable, Sendable {
    public var channel: String
    public var bridges: [Route]

    /// The members are those of `ChannelRoute`.
    public struct Route: Codable, Hashable, Sendable {
        public var bridge, broker, type: String
        public var name: String?
        /// Whether it is carried, and why not where it is not.
        public var out, `in`: Bool
        public var whyNotOut, whyNotIn: String?
        public var guarantee, interest: String
        /// Who shares what arrives; nil when every instance gets everything.
        public var group: String?
        public var onward: [String]
        public var maximumHops: Int
        public var isMirrored: Bool
        /// Only of a running instance.
        public var state, egressProof, ingressProof: String?
        public var isWanted: Bool?
        /// What the guarantee rests on, as the broker showed it; empty when it rests on nothing.
        public var promises: [StatusReport.Promise]?

        enum CodingKeys: String, CodingKey {
            case bridge, broker, type, name, out, `in`, guarantee, interest, group, onward, state, promises
            case whyNotOut = "why_not_out"
            case whyNotIn = "why_not_in"
            case maximumHops = "max_hops"
            case isMirrored = "mirrored"
            case egressProof = "out_proof"
            case ingressProof = "in_proof"
            case isWanted = "wanted"
        }
    }

    public init(_ channel: ChannelName, _ routes: [ChannelRoute]) {
        self.channel = channel.string
        self.bridges = routes.map(Route.init)
    }

    /// - Throws: `DecodingError` when `json` is no report.
    public init(json: [UInt8]) throws {
        self = try JSONDecoder().decode(Self.self, from: Data(json))
    }

    /// - Throws: `EncodingError`, never for a report made from routes.
    public func json() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(self))
    }

    /// For people; lines without a last line break.
    public var text: String {
        let channel = Self.printable(self.channel)
        guard !self.bridges.isEmpty else { return "\(channel)\n  there are no bridges: it stays in this instance" }
        return ([channel] + self.bridges.flatMap { $0.lines }).joined(separator: "\n")
    }

    /// The words of others must not steer the terminal.
    fileprivate static func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }))
    }
}

extension ExplainReport.Route {
    init(_ route: ChannelRoute) {
        self.init(
            bridge: route.bridge, broker: route.broker, type: route.kind, name: route.name,
            out: route.egress == .carried, in: route.ingress == .carried, whyNotOut: route.egress.reason,
            whyNotIn: route.ingress.reason, guarantee: route.guarantee.rawValue, interest: route.interest.rawValue,
            group: route.group, onward: route.carriesOnward, maximumHops: route.maximumHops,
            isMirrored: route.isMirrored,
            state: route.link?.state.rawValue, egressProof: route.link?.egress?.rawValue,
            ingressProof: route.link?.ingress?.rawValue, isWanted: route.link?.isWanted,
            promises: route.link?.promises.map(StatusReport.Promise.init))
    }

    fileprivate var lines: [String] {
        var lines = ["", "\(self.bridge)  \(self.type) \(self.broker)" + (self.state.map { "  \($0)" } ?? "")]
        if let name = self.name, self.out || self.in { lines.append("  name  \(ExplainReport.printable(name))") }
        lines.append("  out   " + (self.whyNotOut.map { "no: \($0)" } ?? self.howOut))
        lines.append("  in    " + (self.whyNotIn.map { "no: \($0)" } ?? self.howIn))
        if self.out || self.in {
            lines += (self.promises ?? []).map { $0.line(\.self, ExplainReport.printable) }
        }
        if self.isMirrored { lines.append("  the broker is told who listens") }
        return lines
    }

    private var howOut: String {
        let onward =
            self.onward.isEmpty
            ? "what is published here"
            : "what is published here, and what comes by \(self.onward.joined(separator: ", "))"
        return "\(self.guarantee), \(onward), up to \(self.maximumHops) hops" + Self.proof(self.egressProof)
    }

    private var howIn: String {
        let interest = self.interest == Interest.always.rawValue ? "always" : "while somebody listens here"
        let wanted = self.isWanted.map { $0 ? ", subscribed now" : ", not subscribed now" } ?? ""
        let share = self.group.map { ", one of group \($0)" } ?? ""
        return "\(self.guarantee), \(interest)\(wanted)\(share)" + Self.proof(self.ingressProof)
    }

    private static func proof(_ state: String?) -> String { state.map { ", \($0)" } ?? "" }
}

extension ChannelRoute.Verdict {
    fileprivate var reason: String? {
        switch self {
        case .carried: nil
        case .notCarried(let reason): reason
        }
    }
}
