import LinkspanWire
import Testing

@Suite struct `Base 64` {
    @Test(arguments: [
        ("", "", ""), ("f", "Zg==", "Zg"), ("fo", "Zm8=", "Zm8"), ("foo", "Zm9v", "Zm9v"),
        ("foob", "Zm9vYg==", "Zm9vYg"),
        ("\u{3e}\u{3f}\u{ff}", "Pj/Dvw==", "Pj_Dvw"), ("\u{3e}~", "Pn4=", "Pn4"),
    ])
    func `goes both ways in both alphabets`(plain: String, standard: String, urlSafe: String) {
        for (alphabet, coded) in [(Base64.standard, standard), (.urlSafe, urlSafe)] {
            #expect(String(decoding: alphabet.encode(plain.utf8), as: UTF8.self) == coded)
            #expect(alphabet.decode(coded.utf8) == Array(plain.utf8))
        }
    }

    @Test func `goes both ways for bytes of any number and value`() {
        for alphabet in [Base64.standard, .urlSafe] {
            for count in 0...256 {
                let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7 + count) }
                #expect(alphabet.decode(alphabet.encode(bytes)) == bytes)
            }
        }
    }

    @Test(arguments: [
        "A", "AAAAA", "A-A=", "A-A", "Zg", "Zg=", "Zh==", "Zm9=", "====", "==", "A=A=", "Z g=", "Zg==Zg==",
    ])
    func `of the standard alphabet admits nothing that it would not write`(text: String) {
        #expect(Base64.standard.decode(text.utf8) == nil)
    }

    @Test(arguments: ["A", "AAAAA", "A+A=", "Zg==", "Z g", "Zm/v"])
    func `of the URL-safe alphabet admits no padding and no other characters`(text: String) {
        #expect(Base64.urlSafe.decode(text.utf8) == nil)
    }

    @Test func `without padding does not look at bits past the last byte`() {
        #expect(Base64.urlSafe.decode("Zh".utf8) == Array("f".utf8))
    }
}
