import LinkspanBridgeKit
import NIOCore
import NIOPosix
import Synchronization
import TestSupport

/// An MQTT 5 broker that answers as a test says, for answers that mosquitto does not give.
final class ScriptedBroker: Sendable {
    struct Script: Sendable {
        /// Properties of CONNACK, encoded.
        var connectionProperties: [UInt8] = []
        /// One code per SUBSCRIBE of one topic.
        var subscribeCode: UInt8 = 0
        /// Nil for no answer.
        var publishReason: UInt8? = 0
        /// Packets to send right after CONNACK.
        var greeting: [UInt8] = []
        /// Whether the connection ends after the first answer.
        var closes = false
    }

    let upstream: UpstreamURL
    /// First bytes of the packets that came.
    let packets: EventLog<UInt8>
    private let transport: any Channel

    init(_ change: (inout Script) -> Void) async throws {
        var script = Script()
        change(&script)
        let (final, packets) = (script, EventLog<UInt8>())
        self.packets = packets
        self.transport = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(ScriptHandler(script: final, packets: packets))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        self.upstream = UpstreamURL(scheme: "mqtt", host: "127.0.0.1", port: self.transport.localAddress?.port ?? 0)
    }

    deinit { self.transport.close(promise: nil) }
}

private final class ScriptHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let script: ScriptedBroker.Script
    private let packets: EventLog<UInt8>
    private var gathered = ByteBuffer()

    init(script: ScriptedBroker.Script, packets: EventLog<UInt8>) {
        self.script = script
        self.packets = packets
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.gathered.writeImmutableBuffer(self.unwrapInboundIn(data))
        while let (first, body) = self.nextPacket() {
            self.packets.append(first)
            let answer = self.answer(first, body)
            if !answer.isEmpty {
                context.writeAndFlush(self.wrapOutboundOut(ByteBuffer(bytes: answer)), promise: nil)
                if self.script.closes { context.close(promise: nil) }
            }
        }
    }

    private func nextPacket() -> (UInt8, ByteBuffer)? {
        var copy = self.gathered
        guard let first = copy.readInteger(as: UInt8.self) else { return nil }
        var length = 0
        var shift = 0
        while let byte = copy.readInteger(as: UInt8.self) {
            length |= Int(byte & 0x7F) << shift
            shift += 7
            guard byte & 0x80 == 0 else { continue }
            guard let body = copy.readSlice(length: length) else { return nil }
            self.gathered = copy
            return (first, body)
        }
        return nil
    }

    private func answer(_ first: UInt8, _ body: ByteBuffer) -> [UInt8] {
        var body = body
        switch first & 0xF0 {
        case 0x10:
            let properties = self.script.connectionProperties
            return [0x20, UInt8(3 + properties.count), 0, 0, UInt8(properties.count)] + properties
                + self.script.greeting
        case 0x80:
            let identifier = body.readBytes(length: 2) ?? []
            return [0x90, 4] + identifier + [0, self.script.subscribeCode]
        case 0x30 where first & 0x06 != 0:
            guard let reason = self.script.publishReason, let length = body.readInteger(as: UInt16.self) else {
                return []
            }
            body.moveReaderIndex(forwardBy: Int(length))
            return [0x40, 3] + (body.readBytes(length: 2) ?? []) + [reason]
        case 0xC0:
            return [0xD0, 0]
        default:
            return []
        }
    }
}
