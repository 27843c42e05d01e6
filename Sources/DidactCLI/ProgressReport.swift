import Didact

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Shows how training goes: a bar where standard error is a terminal, else a line now and then; or JSON on standard
/// output.
final class ProgressReport {
  private enum Style { case bar, lines, json }

  private let style: Style
  private let firstStep: Int
  /// When the bar was last drawn, in seconds of the fit.
  private var lastDrawn = -Double.infinity
  private var isBarShown = false

  /// - Parameter firstStep: how many steps were done before.
  init(firstStep: Int, isJSON: Bool) {
    self.firstStep = firstStep
    style = isJSON ? .json : isatty(STDERR_FILENO) == 1 ? .bar : .lines
  }

  func show(_ progress: Trainer.Progress) throws {
    let isLast = progress.step == progress.steps
    switch style {
    case .json:
      if isLast || progress.step % interval(progress, parts: 100) == 0 { try writeOutput(json(progress)) }
    case .lines:
      if isLast || progress.step % interval(progress, parts: 10) == 0 { writeError(line(progress) + "\n") }
    case .bar:
      guard isLast || progress.seconds - lastDrawn > 0.1 else { return }
      lastDrawn = progress.seconds
      isBarShown = true
      writeError("\r" + bar(progress) + "\u{1b}[K")
    }
  }

  /// Leaves the line of the bar.
  func end() {
    if isBarShown { writeError("\n") }
    isBarShown = false
  }

  private func interval(_ progress: Trainer.Progress, parts: Int) -> Int {
    max(1, (progress.steps - firstStep) / parts)
  }

  private func json(_ progress: Trainer.Progress) -> String {
    var object: JSONObject = [
      "step": JSON(progress.step), "steps": JSON(progress.steps), "seconds": .number(progress.seconds),
    ]
    for (name, value) in zip(progress.metrics.names, progress.metrics.values) { object[name] = .number(value) }
    return JSON.object(object).serialized() + "\n"
  }

  private func line(_ progress: Trainer.Progress) -> String {
    formatted("step %ld of %ld, %.1f s", progress.step, progress.steps, progress.seconds) + losses(progress.metrics)
  }

  private func losses(_ metrics: Metrics) -> String {
    var text = ""
    for (name, value) in zip(metrics.names, metrics.values) where name.hasPrefix("loss/") {
      text += "  \(name.dropFirst(5)) " + formatted("%.4f", value)
    }
    return text
  }

  private func bar(_ progress: Trainer.Progress) -> String {
    let width = 24
    let filled = width * progress.step / max(1, progress.steps)
    let cells = String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled)
    let done = progress.step - firstStep
    let left = progress.seconds / Double(max(1, done)) * Double(progress.steps - progress.step)
    let text =
      "[\(cells)] "
      + formatted("%ld/%ld  %.0f s, %.0f s left", progress.step, progress.steps, progress.seconds, left)
      + losses(progress.metrics)
    // A line that wraps would not be overwritten.
    return String(text.prefix(terminalWidth() - 1))
  }

  private func terminalWidth() -> Int {
    var size = winsize()
    guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 1 else { return 80 }
    return Int(size.ws_col)
  }
}
