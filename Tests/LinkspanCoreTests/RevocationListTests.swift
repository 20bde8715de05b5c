import LinkspanCore
import LinkspanWire
import Testing

@Suite struct `Revocations` {
    private func claims(_ json: String) throws -> TokenClaims {
        try #require(TokenClaims(json: Array(json.utf8)))
    }

    @Test func `refuse what a user was given until then, by sub or by username`() throws {
        var list = RevocationList()
        #expect(!list.refuses(try self.claims(#"{"sub":"eve","iat":100}"#)))
        list.revoke(.user("eve"), now: 100)
        #expect(list.refuses(try self.claims(#"{"sub":"eve","iat":100}"#)))
        #expect(list.refuses(try self.claims(#"{"username":"eve","iat":99}"#)))
        #expect(list.refuses(try self.claims(#"{"sub":"eve"}"#)), "a token of unknown age may be old")
        #expect(!list.refuses(try self.claims(#"{"sub":"eve","iat":101}"#)))
        #expect(!list.refuses(try self.claims(#"{"sub":"bob","iat":1}"#)))
    }

    @Test func `refuse one token by its identifier, whenever it was issued`() throws {
        var list = RevocationList()
        list.revoke(.token("t1"), now: 100)
        #expect(list.refuses(try self.claims(#"{"jti":"t1","iat":5000}"#)))
        #expect(!list.refuses(try self.claims(#"{"jti":"t2","sub":"t1"}"#)))
    }

    @Test func `forget the oldest past their limit, and count it`() throws {
        var list = RevocationList(limit: 2)
        list.revoke(.token("a"), now: 1)
        list.revoke(.token("b"), now: 2)
        list.revoke(.token("a"), now: 3)
        #expect(list.forgottenCount == 0)
        list.revoke(.user("c"), now: 4)
        #expect(list.forgottenCount == 1)
        #expect(!list.refuses(try self.claims(#"{"jti":"b"}"#)))
        #expect(list.refuses(try self.claims(#"{"jti":"a"}"#)))
        #expect(list.refuses(try self.claims(#"{"sub":"c"}"#)))
    }
}

@Suite struct `What a connection remembers of its permissions` {
    @Test func `agrees with the permissions, whatever order it is asked in`() throws {
        let permissions = try Permissions([
            PermissionRule(channels: "a*", subscribe: .nobody, publish: .everyone),
            PermissionRule(channels: "b*", subscribe: .everyone, publish: .authenticated),
        ])
        var decisions = ChannelDecisions()
        for round in 0..<3 {
            for number in 0..<400 {
                for (name, subscribe, publish) in [("a\(number)", false, true), ("b\(number)", true, false)] {
                    var name = name
                    name.withUTF8 { name in
                        let name = UnsafeRawBufferPointer(name)
                        let mayPublish = decisions.allows(.publish, name, permissions: permissions, claims: nil)
                        #expect(mayPublish == publish, "round \(round)")
                        #expect(
                            decisions.allows(.subscribe, name, permissions: permissions, claims: nil) == subscribe)
                    }
                }
            }
        }
    }
}
