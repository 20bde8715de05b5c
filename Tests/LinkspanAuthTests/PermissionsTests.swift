import LinkspanBridgeKit
import LinkspanCore
import Testing

@Suite struct `Permissions over channels` {
    private let page: [PermissionRule] = [
        PermissionRule(channels: "user/{sub}/**", subscribe: .authenticated, publish: .authenticated),
        PermissionRule(
            channels: "admin/**", subscribe: .claims(["role": ["admin"]]), publish: .claims(["role": ["admin"]])),
        PermissionRule(channels: "**", subscribe: .everyone, publish: .nobody),
    ]

    private func claims(_ json: String) -> TokenClaims? {
        TokenClaims(json: Array(json.utf8))
    }

    @Test func `are SocketCluster's when there are none: everyone may do everything`() throws {
        let permissions = try Permissions([])
        #expect(permissions.isEmpty)
        #expect(permissions.allows(.publish, "anything", claims: nil))
    }

    @Test func `let the first rule that applies answer`() throws {
        let permissions = try Permissions(self.page)
        #expect(permissions.allows(.subscribe, "news", claims: nil))
        #expect(!permissions.allows(.publish, "news", claims: self.claims(#"{"sub":"bob"}"#)))
        #expect(!permissions.allows(.subscribe, "admin/log", claims: self.claims(#"{"sub":"bob"}"#)))
        #expect(permissions.allows(.publish, "admin/log", claims: self.claims(#"{"role":"admin"}"#)))
        #expect(permissions.allows(.publish, "admin/log", claims: self.claims(#"{"role":["user","admin"]}"#)))
    }

    @Test func `give a channel with a claim in its name to its owner and to nobody else`() throws {
        let permissions = try Permissions(self.page)
        let bob = self.claims(#"{"sub":"bob"}"#)
        #expect(permissions.allows(.subscribe, "user/bob/inbox", claims: bob))
        #expect(permissions.allows(.publish, "user/bob/a/b", claims: bob))
        #expect(!permissions.allows(.subscribe, "user/alice/inbox", claims: bob))
        #expect(!permissions.allows(.subscribe, "user/bob/inbox", claims: nil))
        #expect(!permissions.allows(.subscribe, "user/bob/inbox", claims: self.claims("{}")))
    }

    @Test(arguments: ["*", "**", "?ob", "b\\ob", ""])
    func `take a claim as text, never as a pattern`(sub: String) throws {
        let permissions = try Permissions(self.page)
        let json = #"{"sub":"\#(sub.replacing("\\", with: "\\\\"))"}"#
        #expect(!permissions.allows(.subscribe, "user/bob/inbox", claims: self.claims(json)))
    }

    @Test func `take numbers, and claims with a slash, as they are written`() throws {
        let permissions = try Permissions(self.page)
        #expect(permissions.allows(.subscribe, "user/42/inbox", claims: self.claims(#"{"sub":42}"#)))
        #expect(permissions.allows(.subscribe, "user/a/b/inbox", claims: self.claims(#"{"sub":"a/b"}"#)))
    }

    @Test func `want every claim that is asked for`() throws {
        let permissions = try Permissions([
            PermissionRule(channels: "**", subscribe: .claims(["role": ["a", "b"], "tier": ["gold"]]))
        ])
        #expect(permissions.allows(.subscribe, "x", claims: self.claims(#"{"role":"b","tier":"gold"}"#)))
        #expect(!permissions.allows(.subscribe, "x", claims: self.claims(#"{"role":"b"}"#)))
        #expect(!permissions.allows(.subscribe, "x", claims: self.claims(#""text""#)))
    }

    @Test func `leave braces that name nothing as text`() throws {
        let permissions = try Permissions([PermissionRule(channels: "a{}b", subscribe: .nobody)])
        #expect(!permissions.allows(.subscribe, "a{}b", claims: nil))
        #expect(permissions.allows(.subscribe, "aXb", claims: nil))
    }
}
