import LinkspanBridgeKit
import LinkspanCore
import NIOCore
import TestSupport
import Testing

@Suite struct BridgingProbeTests {
    private static func probe(seen: [ProbeSighting] = []) -> Probe {
        Probe(
            life: InstanceLife(instance: InstanceID("fra-1")!, epoch: 1_795_216_176_123, nonce: 0xBEEF),
            bridge: "plant \"a\"", number: 7, every: .seconds(5), deadline: .seconds(15), seen: seen)
    }

    private static func sighting(_ number: UInt64) -> ProbeSighting {
        ProbeSighting(
            sender: ProbeSender(instance: InstanceID("fra-2")!, bridge: "hub"), epoch: 5, number: number,
            age: .milliseconds(1200))
    }

    @Test func `a probe is what the page on the envelope says`() {
        let probe = Self.probe(seen: [Self.sighting(41)])
        #expect(
            String(buffer: probe.json) == """
                {"bridge":"plant \\"a\\"","nonce":"beef","every":5000,"deadline":15000,\
                "seen":[{"instance":"fra-2","bridge":"hub","epoch":5,"seq":41,"age":1200}]}
                """)
        let header = probe.header(at: 99)
        #expect(header.origin == Origin(instance: InstanceID("fra-1")!, epoch: 1_795_216_176_123, sequence: 7))
        #expect(header.hops == [InstanceID("fra-1")!] && header.acceptedAt == 99)
    }

    @Test func `a probe survives its journey`() {
        let probe = Self.probe(seen: (1...64).map(Self.sighting))
        #expect(Probe(header: probe.header(at: 1), data: probe.json) == probe)
    }

    @Test func `sightings past the limit are neither written nor read`() {
        let probe = Self.probe(seen: (1...80).map(Self.sighting))
        let read = Probe(header: probe.header(at: 1), data: probe.json)
        #expect(read?.seen == (1...64).map(Self.sighting))
        let entry = "{\"instance\":\"a\",\"bridge\":\"b\",\"epoch\":1,\"seq\":1,\"age\":1}"
        let long =
            "{\"bridge\":\"b\",\"nonce\":\"1\",\"every\":1,\"deadline\":1,\"seen\":["
            + Array(repeating: entry, count: 100).joined(separator: ",") + "]}"
        #expect(Probe(header: probe.header(at: 1), data: ByteBuffer(string: long))?.seen.count == 64)
    }

    @Test(arguments: [
        "", "[]", "7", "{}", "{\"bridge\":\"a\"}", "{\"bridge\":1,\"nonce\":\"1\",\"every\":1,\"deadline\":1}",
        "{\"bridge\":\"a\",\"nonce\":\"xyz\",\"every\":1,\"deadline\":1}",
        "{\"bridge\":\"a\",\"nonce\":\"1\",\"every\":-1,\"deadline\":1}",
        "{\"bridge\":\"a\",\"nonce\":\"1\",\"every\":1,\"deadline\":1",
        "{\"bridge\":\"\(String(repeating: "b", count: 300))\",\"nonce\":\"1\",\"every\":1,\"deadline\":1}",
        "{\"seen\":\"\(String(repeating: "b", count: 70_000))\",\"bridge\":\"a\",\"nonce\":\"1\",\"every\":1,\"deadline\":1}",
    ])
    func `what is no probe is not taken for one`(_ data: String) {
        #expect(Probe(header: Self.probe().header(at: 1), data: ByteBuffer(string: data)) == nil)
    }

    @Test func `sightings that make no sense are passed over`() {
        let data = """
            {"bridge":"a","nonce":"1","every":0,"deadline":99999999999,"seen":[1,{},{"instance":"no spaces"},\
            {"instance":"a","bridge":"b","epoch":1,"seq":2,"age":3}]}
            """
        let read = Probe(header: Self.probe().header(at: 1), data: ByteBuffer(string: data))
        #expect(read?.seen.map(\.number) == [2])
        #expect(read?.every == .milliseconds(1) && read?.deadline == .seconds(86_400))
    }
}
