import CZlib

/// The bytes of a part of a file one after the other, decompressed on the way where they are compressed.
final class ByteStream {
  enum Compression {
    case none
    /// zlib's own format.
    case zlib
    case gzip
  }

  private let content: Buffer
  private var position: Int
  private let end: Int
  /// zlib keeps the address of the stream, so it must not move.
  private let inflater: UnsafeMutablePointer<z_stream>?
  private let isGzip: Bool
  private var hasEnded = false

  /// - Parameter range: of the content's bytes; lies inside.
  init(_ content: Buffer, _ range: Range<Int>, _ compression: Compression) throws {
    self.content = content
    (position, end) = (range.lowerBound, range.upperBound)
    isGzip = compression == .gzip
    guard compression != .none else {
      inflater = nil
      return
    }
    let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
    stream.initialize(to: z_stream())
    // 16 more than the size of the window means gzip.
    let status = inflateInit2_(
      stream, compression == .gzip ? 15 + 16 : 15, zlibVersion(), Int32(MemoryLayout<z_stream>.size))
    guard status == Z_OK else {
      stream.deallocate()
      throw DidactError(.outOfMemory, "could not start to decompress")
    }
    inflater = stream
  }

  deinit {
    guard let inflater else { return }
    inflateEnd(inflater)
    inflater.deallocate()
  }

  /// More bytes than these cannot follow: deflate shrinks by at most 1,032 to 1. Who claims more is refused before
  /// anything is allocated for it.
  var mostBytesLeft: Int { inflater == nil ? end - position : (end - position + 1 << 17) * 1032 }

  private static let cutOff = DidactError(.format, "it is cut off")

  /// Fills `target`.
  /// - Throws: `DidactError.format` where the bytes end before, or are damaged.
  func read(into target: UnsafeMutableRawBufferPointer) throws {
    guard try readSome(into: target) == target.count else { throw ByteStream.cutOff }
  }

  /// The next `count` bytes, which are few.
  func read(_ count: Int) throws -> [UInt8] {
    var bytes = Array(repeating: UInt8(0), count: count)
    try bytes.withUnsafeMutableBytes { try read(into: $0) }
    return bytes
  }

  func skip(_ count: Int) throws {
    guard count <= mostBytesLeft else { throw ByteStream.cutOff }
    guard inflater != nil else {
      position += count
      return
    }
    let part = try Buffer(byteCount: min(count, 1 << 16))
    var left = count
    while left > 0 {
      let length = min(left, part.byteCount)
      try read(into: UnsafeMutableRawBufferPointer(start: part.address, count: length))
      left -= length
    }
  }

  /// Reads to the end, where the checksum of compressed bytes stands.
  func finish() throws {
    guard inflater != nil else { return }
    let part = try Buffer(byteCount: 1 << 16)
    while try readSome(into: UnsafeMutableRawBufferPointer(start: part.address, count: part.byteCount)) > 0 {}
  }

  /// As many bytes as there are.
  /// - Returns: how many; less than `target` takes only at the end.
  private func readSome(into target: UnsafeMutableRawBufferPointer) throws -> Int {
    guard let start = target.baseAddress else { return 0 }
    guard let inflater else {
      let length = min(target.count, end - position)
      start.copyMemory(from: content.address + position, byteCount: length)
      position += length
      return length
    }
    var written = 0
    while written < target.count, !hasEnded {
      // zlib counts in 32 bits, so both sides go in pieces.
      let inputLength = min(end - position, 1 << 30), outputLength = min(target.count - written, 1 << 30)
      inflater.pointee.next_in = (content.address + position).assumingMemoryBound(to: UInt8.self)
      inflater.pointee.avail_in = UInt32(inputLength)
      inflater.pointee.next_out = (start + written).assumingMemoryBound(to: UInt8.self)
      inflater.pointee.avail_out = UInt32(outputLength)
      let status = inflate(inflater, Z_NO_FLUSH)
      position += inputLength - Int(inflater.pointee.avail_in)
      written += outputLength - Int(inflater.pointee.avail_out)
      switch status {
      case Z_OK: break
      case Z_STREAM_END:
        // A gzip file may have several parts, one behind the other, and zeros that fill up a tape.
        let isContinued =
          isGzip && position < end && content.address.load(fromByteOffset: position, as: UInt8.self) == 0x1f
        hasEnded = !(isContinued && inflateReset(inflater) == Z_OK)
      // No progress: the input is used up.
      case Z_BUF_ERROR where position == end: throw ByteStream.cutOff
      case Z_MEM_ERROR: throw DidactError(.outOfMemory, "could not decompress it for want of memory")
      default: throw DidactError(.format, "its compressed bytes are damaged")
      }
    }
    return written
  }
}
