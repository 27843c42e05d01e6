import Testing

@testable import Didact

@Suite struct AvailableMemoryTests {
  /// Files as the kernel shows them, of either version of control groups; the least limit from the group up counts.
  @Test func theTightestControlGroupCounts() throws {
    let directory = try TemporaryDirectory(), root = directory.path
    for folder in ["job", "job/step", "memory", "memory/batch"] { _ = try directory.folder(folder) }
    func write(_ path: String, _ text: String) throws { try directory.write(text, to: String(path.dropFirst())) }
    func left(_ membership: String) throws -> Int? {
      try write("/membership", membership)
      return AvailableMemory.ofControlGroups(membership: root + "/membership", root: root)
    }
    #expect(try left("0::/job/step\n") == nil)
    try write("/job/step/memory.max", "max\n")
    try write("/job/step/memory.current", "600\n")
    #expect(try left("0::/job/step\n") == nil)
    try write("/job/memory.max", "1000\n")
    try write("/job/memory.current", "700\n")
    #expect(try left("0::/job/step\n") == 300)
    // Files that are cached are given up first.
    try write("/job/memory.stat", "anon 500\ninactive_file 150\nactive_file 50\n")
    #expect(try left("0::/job/step\n") == 450)
    try write("/job/step/memory.max", "640\n")
    #expect(try left("0::/job/step\n") == 40)
    try write("/job/step/memory.current", "700\n")
    #expect(try left("0::/job/step\n") == 0)

    try write("/memory/batch/memory.limit_in_bytes", "2000\n")
    try write("/memory/batch/memory.usage_in_bytes", "500\n")
    try write("/memory/memory.limit_in_bytes", "9223372036854771712\n")
    try write("/memory/memory.usage_in_bytes", "123456\n")
    #expect(try left("5:cpu:/other\n4:memory:/batch\n") == 1500)
    // The path outside a container is not there inside.
    try write("/memory/memory.limit_in_bytes", "900\n")
    try write("/memory/memory.usage_in_bytes", "200\n")
    #expect(try left("4:memory,hugetlb:/docker/0123\n") == 700)
    #expect(AvailableMemory.ofControlGroups(membership: root + "/nowhere", root: root) == nil)
  }
}
