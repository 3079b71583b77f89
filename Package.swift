// swift-tools-version: 6.2
import PackageDescription

/// Settings every Swift target shares. One list, so no target drifts.
let swift: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

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
    .executableTarget(
      name: "hearth",
      dependencies: [
        "Chat", .product(name: "ArgumentParser", package: "swift-argument-parser"),
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
    .testTarget(name: "HearthTests", dependencies: ["hearth", "TestSupport"], swiftSettings: swift),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c17
)
