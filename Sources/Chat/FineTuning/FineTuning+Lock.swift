extension FineTuning {
  /// Whether some process trains in a run folder at this moment.
  public static func isRunning(in folder: String) -> Bool { RunFolder(folder).isHeld }
}
