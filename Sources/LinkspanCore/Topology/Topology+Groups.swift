internal import LinkspanBridgeKit

/// Bridges that share what arrives with others: `consume: one_of`.
extension Topology {
    /// Two bridges of one site in one group: to the upstream they are one consumer, and each keeps from the other what it is given.
    func sharedGroups(at site: Int) -> [Finding] {
        var findings: [Finding] = []
        let legs = self.sites[site].bridges
        for (index, second) in legs.enumerated() {
            for first in legs[..<index] where Self.shareGroup(first, second) {
                findings.append(
                    Finding(
                        isError: true, site: site, path: "bridges.\(second.bridge).group",
                        message:
                            "bridges \"\(first.bridge)\" and \"\(second.bridge)\" are in one group at broker \"\(second.broker)\", and "
                            + "each keeps from the other what it is given",
                        hint: "give each a group of its own"))
            }
        }
        return findings
    }

    /// Members that carry other channels than the rest of their group: what they are given and do not carry is lost to it.
    func unlikeMembers() -> [Finding] {
        var findings: [Finding] = []
        for (index, site) in self.sites.enumerated() {
            for leg in site.bridges {
                for other in self.sites[..<index] {
                    for met in other.bridges where Self.shareGroup(met, leg) {
                        guard met.selector != leg.selector || met.template != leg.template else { continue }
                        findings.append(
                            Finding(
                                isError: false, site: index, path: "bridges.\(leg.bridge).channels",
                                message:
                                    "bridge \"\(leg.bridge)\" is in a group with bridge \"\(met.bridge)\" of \(other.label), and "
                                    + "carries other channels or names",
                                hint: "what a member is given and does not carry, the others do not get"))
                    }
                }
            }
        }
        return findings
    }

    private static func shareGroup(_ first: Leg, _ second: Leg) -> Bool {
        first.group != nil && first.group == second.group && first.medium.meets(second.medium)
    }
}
