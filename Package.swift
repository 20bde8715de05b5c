// swift-tools-version: 6.2
import PackageDescription

/// `make test` takes warnings for errors. Other builds do not: a dependency's next release may deprecate what we call.
let warnings: [SwiftSetting] =
    Context.environment["LINKSPAN_TEST_WARNINGS"] == "error" ? [.treatAllWarnings(as: .error)] : []

let strict: [SwiftSetting] =
    [
        .swiftLanguageMode(.v6),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    ] + warnings

let nioCore = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let nioHTTP1 = Target.Dependency.product(name: "NIOHTTP1", package: "swift-nio")
let nioWebSocket = Target.Dependency.product(name: "NIOWebSocket", package: "swift-nio")
let nioEmbedded = Target.Dependency.product(name: "NIOEmbedded", package: "swift-nio")
let nioSSL = Target.Dependency.product(name: "NIOSSL", package: "swift-nio-ssl")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let unixSignals = Target.Dependency.product(name: "UnixSignals", package: "swift-service-lifecycle")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let jwtKit = Target.Dependency.product(name: "JWTKit", package: "jwt-kit")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let asyncHTTPClient = Target.Dependency.product(name: "AsyncHTTPClient", package: "async-http-client")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")

let package = Package(
    name: "linkspan",
    products: [
        .executable(name: "linkspan", targets: ["linkspan"]),
        .executable(name: "linkspan-bench", targets: ["linkspan-bench"]),
        .library(name: "LinkspanServer", targets: ["LinkspanServer"]),
        .library(name: "LinkspanCommand", targets: ["LinkspanCommand"]),
        .library(name: "LinkspanBridgeKit", targets: ["LinkspanBridgeKit"]),
        .library(name: "LinkspanBridgeTesting", targets: ["LinkspanBridgeTesting"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
        .package(url: "https://github.com/apple/swift-http-types.git", from: "1.6.0"),
    ],
    targets: [
        // Pure: values in, values out.
        .target(name: "LinkspanWire", swiftSettings: strict),
        .target(
            name: "LinkspanBridgeKit", dependencies: [nioCore, nioPosix, logging, "CLinkspanLinux"],
            swiftSettings: strict),
        .systemLibrary(name: "CLinkspanLinux"),
        .target(
            name: "LinkspanCore", dependencies: ["LinkspanWire", "LinkspanBridgeKit", nioCore],
            swiftSettings: strict),

        // Edges: sockets, files, threads.
        .target(name: "CLinkspanRing", linkerSettings: [.linkedLibrary("uring")]),
        .target(
            name: "LinkspanServer",
            dependencies: [
                "LinkspanCore", "LinkspanWire", "LinkspanBridgeKit", "CLinkspanZlib", "CLinkspanRing", nioCore,
                nioPosix, nioHTTP1, nioWebSocket, nioSSL, logging, lifecycle, jwtKit, crypto, asyncHTTPClient,
            ], swiftSettings: strict),
        .target(
            name: "LinkspanConfig",
            dependencies: ["LinkspanCore", "LinkspanBridgeKit", "LinkspanWire", nioCore, yams],
            swiftSettings: strict),
        .target(
            name: "LinkspanClient",
            dependencies: ["LinkspanWire", nioCore, nioPosix, nioHTTP1, nioWebSocket, nioSSL, logging],
            swiftSettings: strict),

        .target(
            name: "LinkspanAdmin",
            dependencies: [
                "LinkspanServer", "LinkspanCore", "LinkspanWire", "LinkspanBridgeKit", nioCore, nioPosix, nioHTTP1,
                logging,
                lifecycle, hummingbird, httpTypes, asyncHTTPClient,
            ], swiftSettings: strict),

        // One bridge each, over one C library each.
        .systemLibrary(
            name: "CLinkspanMosquitto", pkgConfig: "libmosquitto", providers: [.apt(["libmosquitto-dev"])]),
        .systemLibrary(name: "CLinkspanZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CLinkspanHiredis", providers: [.apt(["libhiredis-dev"])]),
        .systemLibrary(
            name: "CLinkspanRabbitMQ", pkgConfig: "librabbitmq", providers: [.apt(["librabbitmq-dev"])]),
        .target(
            name: "LinkspanMQTT",
            dependencies: ["LinkspanBridgeKit", "CLinkspanMosquitto", nioCore, nioPosix, logging],
            swiftSettings: strict),
        .target(
            name: "LinkspanRedis",
            dependencies: ["LinkspanBridgeKit", "CLinkspanHiredis", nioCore, nioPosix, nioSSL, logging],
            swiftSettings: strict),
        .testTarget(
            name: "LinkspanRedisTests",
            dependencies: [
                "LinkspanRedis", "LinkspanBridgeTesting", "LinkspanBridgeKit", "TestSupport", nioCore, nioEmbedded,
                logging,
            ], swiftSettings: strict),
        .target(
            name: "LinkspanAMQP", dependencies: ["LinkspanBridgeKit", "CLinkspanRabbitMQ", nioCore, logging],
            swiftSettings: strict),
        .target(
            name: "LinkspanBridgeTesting", dependencies: ["LinkspanBridgeKit", nioCore, logging],
            swiftSettings: strict),
        .testTarget(
            name: "LinkspanBridgeTestingTests",
            dependencies: ["LinkspanBridgeTesting", "LinkspanBridgeKit", nioCore], swiftSettings: strict),

        .testTarget(
            name: "LinkspanAMQPTests",
            dependencies: [
                "LinkspanAMQP", "LinkspanBridgeKit", "LinkspanBridgeTesting", "CLinkspanRabbitMQ", "TestSupport",
                nioCore,
            ], swiftSettings: strict),

        // The command line and the wiring, as a library, so that a binary with bridges of its own is a main of three lines.
        .target(
            name: "LinkspanCommand",
            dependencies: [
                "LinkspanServer", "LinkspanAdmin", "LinkspanConfig", "LinkspanClient", "LinkspanCore", "LinkspanWire",
                "LinkspanBridgeKit", "LinkspanMQTT", "LinkspanRedis", "LinkspanAMQP", nioCore, nioPosix, logging,
                lifecycle, unixSignals, arguments,
            ], swiftSettings: strict),
        .executableTarget(name: "linkspan", dependencies: ["LinkspanCommand"], swiftSettings: strict),

        // A program around the library, ported from Node.
        .executableTarget(
            name: "PrivateChannels",
            dependencies: ["LinkspanServer", "LinkspanCore", "LinkspanBridgeKit", "LinkspanWire", logging],
            path: "Examples/PrivateChannels", exclude: ["server.js"], swiftSettings: strict),

        // Measures the program and its bridges beside the least that can be done, and beside other servers.
        .target(name: "CLinkspanFloor"),
        .target(
            name: "LinkspanBench",
            dependencies: [
                "LinkspanServer", "LinkspanWire", "LinkspanCore", "LinkspanBridgeKit", "CLinkspanFloor",
                "CLinkspanMosquitto", "CLinkspanHiredis", "CLinkspanRabbitMQ", nioCore, logging, arguments,
            ], swiftSettings: strict),
        .executableTarget(name: "linkspan-bench", dependencies: ["LinkspanBench"], swiftSettings: strict),
        .testTarget(
            name: "LinkspanBenchTests",
            dependencies: ["LinkspanBench", "TestSupport", "linkspan", "linkspan-bench"],
            swiftSettings: strict),

        .testTarget(
            name: "LinkspanWireTests", dependencies: ["LinkspanWire", "TestSupport"],
            exclude: ["Transcripts", "FailCases"],
            swiftSettings: strict),
        .testTarget(
            name: "LinkspanBridgeKitTests", dependencies: ["LinkspanBridgeKit", "TestSupport", nioCore, nioPosix],
            swiftSettings: strict),
        .testTarget(
            name: "LinkspanCoreTests",
            dependencies: ["LinkspanCore", "LinkspanWire", "LinkspanBridgeKit", "TestSupport", nioCore],
            swiftSettings: strict),
        .testTarget(
            name: "LinkspanServerTests",
            dependencies: [
                "LinkspanServer", "LinkspanCore", "LinkspanWire", "LinkspanBridgeKit", "LinkspanBridgeTesting",
                "TestSupport", nioCore, nioPosix, nioHTTP1, nioSSL, logging, lifecycle,
            ], swiftSettings: strict),
        .testTarget(
            name: "LinkspanAdminTests",
            dependencies: [
                "LinkspanAdmin", "LinkspanServer", "LinkspanCore", "LinkspanBridgeKit", "LinkspanWire", "TestSupport",
                nioCore, nioHTTP1, logging, asyncHTTPClient,
            ], swiftSettings: strict),
        .testTarget(
            name: "LinkspanConfigTests",
            dependencies: [
                "LinkspanConfig", "LinkspanServer", "LinkspanCore", "LinkspanBridgeKit", nioCore, "TestSupport",
            ],
            swiftSettings: strict),

        .testTarget(
            name: "LinkspanClientTests",
            dependencies: [
                "LinkspanClient", "LinkspanServer", "LinkspanCore", "LinkspanWire", "LinkspanBridgeKit", "TestSupport",
                logging,
            ], swiftSettings: strict),
        .testTarget(
            name: "LinkspanCommandTests",
            dependencies: ["LinkspanCommand", "LinkspanClient", "linkspan", "TestSupport", logging],
            swiftSettings: strict),

        // What tests share: real servers on loopback, child processes, seeds, clocks.
        .systemLibrary(name: "CTestSupport", path: "Tests/CTestSupport"),
        .target(
            name: "TestSupport", dependencies: ["CTestSupport"], path: "Tests/TestSupport", swiftSettings: strict),
        .testTarget(name: "TestSupportTests", dependencies: ["TestSupport"], swiftSettings: strict),

        // Counts allocations, locks and system calls of a server in a process of its own.
        .target(name: "CCounts", path: "Tests/CCounts"),
        .executableTarget(
            name: "linkspan-counts",
            dependencies: [
                "CCounts", "LinkspanServer", "LinkspanCore", "LinkspanWire", "LinkspanBridgeKit", nioCore, logging,
            ],
            path: "Tests/Counts", swiftSettings: strict),
        .testTarget(
            name: "CountTests", dependencies: ["TestSupport", "linkspan-counts"], path: "Tests/CountTests",
            swiftSettings: strict),

        // Drives the built program and real brokers from outside; the dependency has it built.
        .testTarget(
            name: "IntegrationTests",
            dependencies: [
                "TestSupport", "linkspan", "PrivateChannels", "LinkspanServer", "LinkspanConfig", "LinkspanCore",
                "LinkspanBridgeKit",
                "LinkspanMQTT", "LinkspanRedis", "LinkspanAMQP", nioCore, nioPosix, logging,
                lifecycle,
            ], exclude: ["Clients"], swiftSettings: strict),
        .testTarget(
            name: "LinkspanAuthTests",
            dependencies: [
                "LinkspanServer", "LinkspanCore", "LinkspanWire", "LinkspanBridgeKit", "TestSupport", jwtKit,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "LinkspanMQTTTests",
            dependencies: [
                "LinkspanMQTT", "LinkspanBridgeKit", "LinkspanBridgeTesting", "TestSupport", nioCore, nioPosix, logging,
            ],
            swiftSettings: strict),
    ]
)
