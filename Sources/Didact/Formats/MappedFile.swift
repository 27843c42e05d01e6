#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The content of a regular file in the address space, read from disk where it is touched, so that it may be larger than
/// memory. Never written to. A file that becomes shorter meanwhile ends the process, as with every mapping.
/// - Throws: `DidactError.file` with the path and the system's reason.
func mapFile(_ path: String) throws -> Buffer {
  let (descriptor, length) = try openRegularFile(path)
  defer { close(descriptor) }
  guard length > 0 else { return try Buffer(byteCount: 0) }
  guard let address = mmap(nil, length, PROT_READ, MAP_PRIVATE, descriptor, 0), address != MAP_FAILED else {
    throw fileError("could not map", path, errno)
  }
  return Buffer(borrowing: address, byteCount: length, owner: Mapping(address: address, length: length))
}

private final class Mapping {
  let address: UnsafeMutableRawPointer
  let length: Int

  init(address: UnsafeMutableRawPointer, length: Int) {
    self.address = address
    self.length = length
  }

  deinit { munmap(address, length) }
}
