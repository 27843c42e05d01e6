/// The version of the library. Generated from VERSION by scripts/generate.
public let didactVersion = "0.2.0"
/// The same, at an address that needs no lock.
package let didactVersionText: StaticString = "0.2.0"
