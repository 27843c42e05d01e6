extension Dataset {
  /// Reads a table with, perhaps, a column of labels (RFC 4180, UTF-8, comma-separated), and learns how its columns
  /// become features: see `encoding`.
  ///
  /// The first line is a header if any cell of it outside the label column is neither a number nor missing. One of 0, 1, 2
  /// and so on, or of years one after the other, may be either, and `hasHeader` has to say. Features are float64. Blank lines are skipped, and so are blanks around cells without quotes.
  ///
  /// The classes are the distinct labels, sorted by value where all are integers, else by character. An empty cell is no
  /// label. The words for a missing value below are none either, which `warnings` says. Other texts that may mean "no
  /// label" are an error: `None`, `<NA>`, `NaT`, `unlabeled`, `unlabelled`, and −1 unless the classes are −1 and 1.
  ///
  /// A column of numbers is numeric. A column with text is categorical, unless half of its values or more are numbers:
  /// then the text is taken for an error. So are numbers in another notation, such as a decimal comma, and texts that
  /// nearly all differ. Missing are empty cells and those of `?`, `NA`, `N/A`, `n/a`, `NaN`, `nan`, `NULL` and `null`;
  /// numeric columns then have the mean of the others, over all rows.
  /// - Parameters:
  ///   - path: the file.
  ///   - labelColumn: a name in the header, or an index counted from zero. Nil means the column named `label` if the
  ///     header has one, else that no row has a label.
  ///   - ignored: columns that are no features, by name or index.
  ///   - categorical: columns that are categorical whatever they hold, by name or index.
  ///   - trustedColumn: the column, by name or index, that says which rows' labels are right, by yes, true or 1: see `trustedRows`.
  ///   - hasHeader: whether the first line is a header; nil decides as above.
  /// - Throws: `DidactError.file`; `.invalidArgument` for an unknown column; `.data` with line and column for text
  ///   among numbers, numbers in another notation, infinity, rows of different lengths and quotes out of place; for
  ///   columns without a value, without a name, of one name, of texts that nearly all differ, or with more than
  ///   `TableEncoding.maximumCategories` categories; for labels that may mean "no label", that are numbers but not whole,
  ///   or that nearly all differ; for a column called nearly `label`; and for a table without commas.
  public init(
    csv path: String, labelColumn: String? = nil, ignoring ignored: [String] = [], categorical: [String] = [],
    trustedColumn: String? = nil, hasHeader: Bool? = nil
  ) throws {
    self = try Dataset.readTable(path) { bytes in
      let table = try CSVTable(
        bytes, labelColumn: labelColumn, ignoring: ignored, trustedColumn: trustedColumn, hasHeader: hasHeader)
      try table.checkLabelColumnIsThere(ignoring: ignored)
      let (encoding, rows) = try table.fittedEncoding(categorical: categorical)
      return try table.dataset(encoding, rows: rows, .classes)
    }
  }

  /// Reads a table as a model takes it.
  ///
  /// Columns are found by name where both tables have a header, else by position. Cells of categorical columns that
  /// training did not see are 0 in all features of the column; `unseenCategories` counts them.
  /// - Parameters:
  ///   - encoding: what training learned of the columns.
  ///   - labelColumn: as above; nil means the column that had the labels in training, or one named `label` that is no
  ///     feature.
  ///   - ignored: columns to leave out, beside those of the encoding.
  ///   - trustedColumn: as above.
  ///   - knownClasses: names of the model's classes, which are labels whatever they look like.
  ///   - hasHeader: as above; where training's header was of numbers alone, a first line of other numbers may be either too.
  ///   - readsLabels: whether labels are read; if not, no row has one, and the label column may hold anything.
  /// - Throws: as above; `.data` for columns missing from or unknown to the encoding, and with line and column for text
  ///   in a numeric column. Labels that are no classes are not refused: the model knows its classes.
  public init(
    csv path: String, encoding: TableEncoding, labelColumn: String? = nil, ignoring ignored: [String] = [],
    trustedColumn: String? = nil, knownClasses: [String] = [], hasHeader: Bool? = nil, readsLabels: Bool = true
  ) throws {
    self = try Dataset.readTable(path) { bytes in
      let table = try CSVTable(
        bytes, labelColumn: labelColumn, ignoring: ignored, trustedColumn: trustedColumn, hasHeader: hasHeader,
        encoding: encoding)
      var rows = 0
      try table.forEachRow { _, _ in rows += 1 }
      return try table.dataset(encoding, rows: rows, readsLabels ? .labels(knownClasses: knownClasses) : .none)
    }
  }

  private static func readTable(_ path: String, _ body: (UnsafeRawBufferPointer) throws -> Dataset) throws -> Dataset {
    let content = try readFile(path)
    do {
      return try content.withBytes(body)
    } catch let error as DidactError {
      throw error.at(path)
    }
  }
}

/// The use that is made of the cells of a label column.
private enum LabelUse {
  /// No row gets a label.
  case none
  /// Training learns these classes.
  case classes
  /// A model, with classes of these names, is measured on the labels or goes on learning from them.
  case labels(knownClasses: [String])
}

extension CSVTable {
  /// The table with its columns as features.
  fileprivate func dataset(_ encoding: TableEncoding, rows: Int, _ use: LabelUse) throws -> Dataset {
    let columns = encoding.featureCount
    let features: Tensor
    do {
      features = try Tensor(Shape(checking: [rows, columns]), .float64)
    } catch let error as DidactError {
      throw error.at("\(rows) rows of \(columns) features")
    }
    var encoder = CSVEncoder(self, encoding)
    // Labels are numbered as they come, and renumbered once all are known.
    let knownClasses = if case .labels(let classes) = use { classes } else { [String]() }
    var texts = LabelTexts(.column(labelColumn.map { "column \(name($0))" } ?? ""), knownClasses: knownClasses)
    // Their numbers, while arrays grow, and in the order of the classes.
    try Buffer.checkRoom(byteCount: 64 * rows)
    var labels: [Int] = [], trustedRows: [Int] = []
    labels.reserveCapacity(rows)
    let readColumn = if case .none = use { nil as Int? } else { labelColumn }
    var values = features.address.assumingMemoryBound(to: Double.self)
    try forEachRow { line, cells in
      try encoder.encode(cells, line: line, into: values)
      values += columns
      if let trustedColumn, try isTrusted(cells[trustedColumn], line: line) { trustedRows.append(labels.count) }
      labels.append(try readColumn.map { try texts.add(try cells[$0].text(line: line), at: line) } ?? -1)
    }
    var warnings = texts.warnings
    if readColumn != nil { try texts.checkNoneIsDoubtful(among: texts.names) }
    if case .classes = use {
      try texts.checkLabelsAreWrittenAlike()
      try texts.checkAreNoMeasurements(among: texts.names)
      if let warning = try texts.checkRepeat(rows: rows) { warnings.append(warning) }
    }

    let classNames = TableEncoding.sorted(texts.names)
    let indices = Dictionary(uniqueKeysWithValues: zip(classNames, classNames.indices))
    let classIndices = texts.names.map { indices[$0] ?? -1 }
    var dataset = Dataset(
      features: features, labels: labels.map { $0 < 0 ? -1 : classIndices[$0] }, classNames: classNames,
      featureNames: encoding.featureNames)
    dataset.encoding = encoding
    dataset.trustedRows = trustedRows
    dataset.unseenCategories = encoder.unseen
    dataset.warnings = warnings
    try dataset.validate()
    return dataset
  }
}
