// swift-tools-version: 6.2
import PackageDescription

/// Settings every Swift target shares. One list, so no target drifts.
let shared: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

/// Settings of all targets but the one that implements Hummingbird's protocols, which are from before that feature.
let swift: [SwiftSetting] = shared + [.enableUpcomingFeature("NonisolatedNonsendingByDefault")]

/// Settings for the one Swift target that touches raw memory.
let memory: [SwiftSetting] =
  swift + [
    .enableExperimentalFeature("Lifetimes"), .strictMemorySafety(),
    .treatWarning("StrictMemorySafety", as: .error),
  ]

let package = Package(
  name: "hearth",
  products: [
    .executable(name: "hearth", targets: ["hearth"]),
    .library(name: "Engine", targets: ["Engine"]),
  ],
  traits: [
    .trait(name: "MPI", description: "Training on several machines together, through Debian's libopenmpi-dev.")
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.5.0"),
    .package(url: "https://github.com/apple/swift-crypto.git", from: "4.0.0"),
    .package(url: "https://github.com/groue/GRDB.swift.git", from: "7.10.0"),
    // Without traits: neither swift-configuration nor all of Foundation is needed, and both take time to build.
    .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.0", traits: []),
    .package(url: "https://github.com/apple/swift-http-types.git", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-log.git", from: "1.14.0"),
    .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-nio-extras.git", from: "1.35.0"),
    .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
    .package(url: "https://github.com/jpsim/Yams.git", from: "6.0.0"),
  ],
  targets: [
    // C kernels are optimised in debug builds too, or `swift test` would take minutes per forward pass.
    // Contraction is off so that `a * b + c` rounds the same on every instruction set; fused
    // multiply-adds are written as such.
    .target(
      name: "CKernels",
      cSettings: [
        .unsafeFlags(["-O3"], .when(configuration: .debug)),
        .unsafeFlags(["-ffp-contract=off", "-fno-math-errno"]),
      ]),
    .systemLibrary(name: "CMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"])]),
    .target(name: "Engine", dependencies: ["CKernels"], swiftSettings: memory),
    .target(name: "Tokenizers", swiftSettings: swift),
    .target(
      name: "Chat",
      dependencies: [
        "Engine", "Tokenizers", .product(name: "Crypto", package: "swift-crypto"), "Yams",
      ],
      swiftSettings: swift),
    .target(
      name: "Server",
      dependencies: [
        "Chat", "Engine", "Tokenizers", .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "CryptoExtras", package: "swift-crypto"), .product(name: "GRDB", package: "GRDB.swift"),
        .product(name: "HTTPTypes", package: "swift-http-types"),
        .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "HummingbirdCore", package: "hummingbird"),
        .product(name: "HummingbirdTLS", package: "hummingbird"), .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "Logging", package: "swift-log"), .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOHTTPTypes", package: "swift-nio-extras"), .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ],
      swiftSettings: shared),
    .executableTarget(
      name: "hearth",
      dependencies: [
        "Chat", "Server", .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .target(name: "CMPI", condition: .when(traits: ["MPI"])),
      ],
      swiftSettings: swift),
    .target(
      name: "TestSupport", dependencies: ["CKernels", "Engine", "Tokenizers"], path: "Tests/TestSupport",
      swiftSettings: swift),
    .testTarget(
      name: "KernelTests", dependencies: ["CKernels", "TestSupport"], swiftSettings: swift),
    .testTarget(
      name: "EngineTests", dependencies: ["CKernels", "Engine", "TestSupport"],
      swiftSettings: swift),
    .testTarget(
      name: "TokenizersTests", dependencies: ["Tokenizers"], swiftSettings: swift),
    .testTarget(
      name: "ChatTests",
      dependencies: ["Chat", "Engine", "Tokenizers", "TestSupport", .product(name: "Crypto", package: "swift-crypto")],
      swiftSettings: swift),
    .testTarget(
      name: "ServerTests",
      dependencies: [
        "Chat", "Engine", "Server", "TestSupport", "Tokenizers", .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "CryptoExtras", package: "swift-crypto"), .product(name: "GRDB", package: "GRDB.swift"),
        .product(name: "HTTPTypes", package: "swift-http-types"), .product(name: "Logging", package: "swift-log"),
      ], swiftSettings: swift),
    .testTarget(name: "HearthTests", dependencies: ["hearth", "TestSupport"], swiftSettings: swift),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c17
)
