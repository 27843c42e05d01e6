import Testing

@testable import Didact

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Reads the sources and fails where an arrow of the architecture runs back.
@Suite struct HouseRulesTests {
  struct Source {
    /// From `Sources/` on, such as `Didact/Layers/Layer.swift`.
    let path: String
    let lines: [(number: Int, text: String)]
  }

  /// The checkout, two folders above this one.
  private static let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
    .joined(separator: "/")

  private static func files(_ folder: String) throws -> [String] {
    guard let directory = opendir(folder) else { throw DidactError(.file, "could not open \(folder)") }
    defer { closedir(directory) }
    var paths: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      guard !name.hasPrefix(".") else { continue }
      let path = "\(folder)/\(name)"
      if entry.pointee.d_type == UInt8(DT_DIR) { paths += try files(path) } else { paths.append(path) }
    }
    return paths
  }

  /// All Swift sources without comments and the contents of strings, which may mention anything.
  private static func sources() throws -> [Source] {
    try files("\(root)/Sources").filter { $0.hasSuffix(".swift") }.sorted().map { path in
      let text = try readFile(path).withBytes { String(decoding: $0, as: UTF8.self) }
      let lines = text.split(separator: "\n", omittingEmptySubsequences: false).enumerated().map {
        (number: $0.offset + 1, text: code(String($0.element)))
      }
      return Source(path: String(path.dropFirst("\(root)/Sources/".count)), lines: lines)
    }
  }

  /// A line without its comment and the contents of its string literals.
  static func code(_ line: String) -> String {
    var result = "", isInString = false, isEscaped = false, previous: Character = " "
    for character in line {
      if isInString {
        if isEscaped {
          isEscaped = false
        } else if character == "\\" {
          isEscaped = true
        } else if character == "\"" {
          isInString = false
        }
        if !isInString { result.append(character) }
      } else {
        if character == "/" && previous == "/" { return String(result.dropLast()) }
        if character == "\"" { isInString = true }
        result.append(character)
      }
      previous = character
    }
    return result
  }

  /// The words of a line: runs of letters, digits and underscores.
  private static func words(_ line: String) -> [Substring] {
    line.split { !($0.isLetter || $0.isNumber || $0 == "_") }
  }

  /// Fails for every line under one of `folders`, outside the folders `except`, that `isForbidden`.
  private func forbid(
    _ rule: String, in folders: [String], except: [String] = [], _ isForbidden: (String) -> Bool
  ) throws {
    var read = 0
    for source in try Self.sources() {
      guard folders.contains(where: source.path.hasPrefix), !except.contains(where: source.path.hasPrefix) else {
        continue
      }
      read += 1
      for line in source.lines where isForbidden(line.text) {
        Issue.record("\(rule): Sources/\(source.path):\(line.number): \(line.text)")
      }
    }
    #expect(read > 0, "\(rule): no sources in \(folders)")
  }

  private static func mentions(_ names: Set<String>) -> (String) -> Bool {
    { line in words(line).contains { names.contains(String($0)) } }
  }

  private static func isPointer(_ line: String) -> Bool {
    words(line).contains { $0.hasPrefix("Unsafe") || $0.hasPrefix("withUnsafe") || $0.hasPrefix("dnnl") }
      || line.contains(".address")
  }

  private static func imports(_ module: String) -> (String) -> Bool {
    { line in
      let words = words(line)
      return words.contains("import") && words.last.map { $0 == module || $0.hasPrefix(module) } == true
    }
  }

  @Test func commentsAndStringsAreNotCode() {
    #expect(Self.code("let x = 1 // UnsafePointer") == "let x = 1 ")
    #expect(Self.code(#"let x = "a // \" b" + y"#) == #"let x = "" + y"#)
    #expect(Self.code("/// Foundation") == "")
  }

  @Test func aMethodNeverTouchesAKernelsElements() throws {
    let implementations = Self.mentions([
      "ReferenceKernels", "ReferenceElement", "FusedKernels", "makeKernels", "Buffer",
    ])
    try forbid("a method never touches a kernel", in: ["Didact/Methods/"]) {
      Self.isPointer($0) || implementations($0)
    }
  }

  // MARK: - Arrows

  /// The folders of the engine, each of which knows only those before it.
  private static let folders = [
    "Numerics", "Formats", "Kernels", "Augmentation", "Data", "Trees", "Layers", "Objectives", "Tasks", "Networks",
    "Optimization", "Methods", "Training",
  ]

  /// The name of the type that a line declares for other files, if it declares one.
  private static func declaration(_ line: String) -> String? {
    guard let first = line.first, !first.isWhitespace else { return nil }
    let words = words(line).map(String.init), kinds = ["class", "struct", "enum", "protocol", "actor", "typealias"]
    guard let kind = words.firstIndex(where: kinds.contains), kind + 1 < words.count,
      words[..<kind].allSatisfy({ ["public", "package", "final", "indirect", "unchecked"].contains($0) })
    else { return nil }
    return words[kind + 1]
  }

  /// Where a folder names what one after it, or one that is not listed, declares.
  private static func arrowsBack(_ sources: [Source], order: [String]) -> [String] {
    func folder(_ source: Source) -> Int { order.firstIndex { source.path.hasPrefix("Didact/\($0)/") } ?? order.count }
    var owners: [String: Int] = [:]
    for source in sources where source.path.dropFirst("Didact/".count).contains("/") {
      for line in source.lines {
        if let name = declaration(line.text) { owners[name] = folder(source) }
      }
    }
    return sources.flatMap { source in
      source.lines.flatMap { line in
        words(line.text).filter { owners[String($0)] ?? 0 > folder(source) }.map {
          "\(source.path):\(line.number) names \($0)"
        }
      }
    }
  }

  /// Every folder takes part, and their order leaves no circle.
  @Test func noArrowRunsBack() throws {
    let sources = try Self.sources().filter { $0.path.hasPrefix("Didact/") }
    let found = Set(sources.map { String($0.path.split(separator: "/")[1]) }.filter { !$0.hasSuffix(".swift") })
    #expect(found == Set(Self.folders))
    for arrow in Self.arrowsBack(sources, order: Self.folders) { Issue.record("an arrow runs back: \(arrow)") }
    // Nearly all types are seen.
    let types = sources.flatMap { $0.lines.compactMap { Self.declaration($0.text) } }
    #expect(types.count > 100 && ["Tensor", "Network", "Trainer", "MovingAverage"].allSatisfy(types.contains))
  }

  @Test func aCircleIsFound() {
    func source(_ path: String, _ text: String) -> Source {
      Source(
        path: path,
        lines: text.split(separator: "\n").enumerated().map { (number: $0.offset + 1, text: String($0.element)) })
    }
    let first = source("Didact/A/First.swift", "final class First {\n  let second: Second\n}")
    let second = source("Didact/B/Second.swift", "public struct Second {\n  let first: First\n}")
    #expect(Self.arrowsBack([first, second], order: ["A", "B"]) == ["Didact/A/First.swift:2 names Second"])
    #expect(Self.arrowsBack([first, second], order: ["B", "A"]) == ["Didact/B/Second.swift:2 names First"])
    let third = source("Didact/C/Third.swift", "struct Third {}\nprivate struct Own {}")
    #expect(Self.arrowsBack([first, second, third], order: ["C", "A", "B"]).count == 1)
    #expect(Self.arrowsBack([source("Didact/A/X.swift", "let x: Third"), third], order: ["A"]).count == 1)
  }

  // MARK: - Rules

  @Test func onlyTheABIKnowsC() throws {
    try forbid(
      "only kernels import CKernels", in: ["Didact/", "DidactABI/", "DidactCLI/"], except: ["Didact/Kernels/"],
      Self.imports("CKernels"))
    try forbid(
      "only numerics and formats import CPlatform", in: ["Didact/", "DidactABI/", "DidactCLI/"],
      except: ["Didact/Numerics/", "Didact/Formats/"], Self.imports("CPlatform"))
    try forbid(
      "only data imports CImages", in: ["Didact/", "DidactABI/", "DidactCLI/"], except: ["Didact/Data/"],
      Self.imports("CImages"))
    try forbid(
      "only DidactABI imports CDidact", in: ["Didact/", "DidactABI/", "DidactCLI/"], except: ["DidactABI/"],
      Self.imports("CDidact"))
    try forbid(
      "only DidactABI exports C functions", in: ["Didact/", "DidactCLI/"],
      { $0.contains("@_cdecl") || $0.contains("@c ") || $0.contains("@c(") })
  }

  @Test func theLibraryLinksNoFoundation() throws {
    try forbid("the library links no Foundation", in: ["Didact/", "DidactABI/"], Self.imports("Foundation"))
  }

  /// `ReadWriteLock` in Numerics holds a pthread lock, Data and Training/Files read and write files, Augmentation/Pixels changes
  /// images.
  @Test func pointersStayWhereTheyBelong() throws {
    try forbid(
      "only kernels, numerics, formats, data and pixels touch pointers", in: ["Didact/"],
      except: [
        "Didact/Kernels/", "Didact/Numerics/", "Didact/Formats/", "Didact/Data/", "Didact/Augmentation/Pixels/",
        "Didact/Training/Files/",
      ],
      Self.isPointer)
  }

  @Test func nothingGenericLeavesTheModule() throws {
    try forbid("no public generic type", in: ["Didact/"]) {
      $0.contains(/\b(public|open)\b.*\b(class|struct|enum|actor)\s+\w+\s*</)
    }
  }

  /// A library that ends the process takes its host with it. Asserts are compiled out; initialisers that a subclass must
  /// not inherit are allowed to say so.
  @Test func nothingEndsTheProcess() throws {
    try forbid(
      "user input throws, never traps", in: ["Didact/", "DidactABI/"],
      Self.mentions(["fatalError", "precondition", "preconditionFailure", "exit", "abort", "print"]))
    try forbid("no forced try", in: ["Didact/", "DidactABI/"]) { $0.contains("try!") || $0.contains("as!") }
  }
}
