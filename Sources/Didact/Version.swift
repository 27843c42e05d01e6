/// The version of the library. Generated from VERSION by scripts/generate.
public let didactVersion = "0.1.0"
