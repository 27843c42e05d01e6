// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "didact",
  products: [
    .library(name: "Didact", targets: ["Didact"]),
    .executable(name: "didact", targets: ["DidactCLI"]),
    // Installed as libdidact.so: an executable and a library of one name silently lose one.
    .library(name: "DidactC", type: .dynamic, targets: ["DidactABI"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2")
  ],
  targets: [
    .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"]), .brew(["libpng"])]),
    .systemLibrary(
      name: "CTurboJPEG", pkgConfig: "libturbojpeg", providers: [.apt(["libturbojpeg0-dev"]), .brew(["jpeg-turbo"])]),
    .target(name: "CDidact"),
    .target(name: "CPlatform"),
    // Linked by name too, for machines without pkg-config.
    .target(
      name: "CImages", dependencies: ["CPNG", "CTurboJPEG"],
      linkerSettings: [.linkedLibrary("png16"), .linkedLibrary("turbojpeg")]),
    .target(
      name: "CKernels", dependencies: ["CPlatform"], exclude: ["loops", "internal.h"],
      linkerSettings: [.linkedLibrary("dnnl"), .linkedLibrary("gomp", .when(platforms: [.linux])), .linkedLibrary("m")]),
    .target(name: "Didact", dependencies: ["CImages", "CKernels", "CPlatform", "CZlib"]),
    .target(name: "DidactABI", dependencies: ["Didact", "CDidact"], exclude: ["didact.map", "header-guide.txt"]),
    .executableTarget(
      name: "DidactCLI",
      dependencies: [
        "Didact", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .testTarget(name: "DidactTests", dependencies: ["Didact"]),
  ],
  swiftLanguageModes: [.v6]
)
