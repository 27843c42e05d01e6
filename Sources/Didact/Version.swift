public let didactVersion = "0.1.0"
