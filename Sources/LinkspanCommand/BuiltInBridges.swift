internal import LinkspanAMQP
public import LinkspanBridgeKit
internal import LinkspanMQTT
internal import LinkspanRedis

extension [any Bridge.Type] {
    /// The kinds that Linkspan brings: `mqtt`, `redis`, `amqp`.
    public static var builtIn: [any Bridge.Type] {
        [MQTTBridge.self, RedisBridge.self, AMQPBridge.self]
    }
}
