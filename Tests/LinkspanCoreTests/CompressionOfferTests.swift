import LinkspanCore
import Testing

@Suite struct CompressionOfferTests {
    private static let accepted = [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=12",
        "PERMESSAGE-DEFLATE ;\tclient_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits=\"10\"",
        "x-webkit-deflate-frame, permessage-deflate",
        "other; a=\"permessage-deflate, x;\", permessage-deflate",
        "permessage-deflate; unknown, permessage-deflate; client_max_window_bits=15",
        "permessage-deflate; server_max_window_bits=11, permessage-deflate",
    ]

    @Test(arguments: accepted)
    func `what can be kept is accepted, without context on either side`(offer: String) {
        #expect(
            CompressionAgreement(fields: [offer])?.field
                == "permessage-deflate; server_no_context_takeover; client_no_context_takeover")
    }

    @Test(arguments: [12, 13, 14, 15])
    func `a client that limits our window reads that we keep to less`(bits: Int) {
        let agreement = CompressionAgreement(fields: ["permessage-deflate; server_max_window_bits=\(bits)"])
        #expect(agreement?.field.hasSuffix("; server_max_window_bits=12") == true)
    }

    private static let declined = [
        "", ",", ";", "permessage-deflate2", "deflate", "permessage-bzip2; client_max_window_bits",
        "permessage-deflate; unknown", "permessage-deflate; unknown=1",
        "permessage-deflate; server_no_context_takeover=1", "permessage-deflate; client_no_context_takeover=\"\"",
        "permessage-deflate; client_max_window_bits=7", "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=08", "permessage-deflate; client_max_window_bits=+9",
        "permessage-deflate; client_max_window_bits=", "permessage-deflate; client_max_window_bits=a",
        "permessage-deflate; server_max_window_bits", "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=11", "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    ]

    @Test(arguments: declined)
    func `an offer that is odd, or asks for what we do not do, is passed over`(offer: String) {
        #expect(CompressionAgreement(fields: [offer]) == nil)
    }

    @Test func `offers may come in several fields, the first that fits is taken`() {
        let fields = ["permessage-deflate; unknown", "foo", "permessage-deflate; server_max_window_bits=15"]
        #expect(CompressionAgreement(fields: fields)?.namesWindow == true)
        #expect(CompressionAgreement(fields: ["permessage-deflate"] + fields)?.namesWindow == false)
        #expect(CompressionAgreement(fields: []) == nil)
    }
}
