internal import Foundation

/// What can be known of files and folders before anything slow is done with them.
public enum Places {
  /// - Parameter flag: What named the file, such as `--data`.
  /// - Throws: `RunError` when there is no file with something in it that can be read.
  public static func requireReadable(_ path: String, _ flag: String) throws {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw RunError("\(path): there is no such file: check the path given with \(flag)")
    }
    guard !isFolder.boolValue else {
      throw RunError("\(path): is a folder, expected a file: give the files in it with \(flag), as in \(path)/*.jsonl")
    }
    guard access(path, R_OK) == 0 else {
      throw RunError("\(path): cannot be read: \(String(cString: strerror(errno))): check its permissions")
    }
  }

  /// - Parameter flag: What named the file, such as `--report`.
  /// - Throws: `RunError` when no file can be put there.
  public static func requireWritableFile(_ path: String, _ flag: String) throws {
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue {
      throw RunError("\(path): is a folder, expected a file's name with \(flag)")
    }
    let parent = URL(filePath: path).standardizedFileURL.deletingLastPathComponent().path
    guard FileManager.default.fileExists(atPath: parent, isDirectory: &isFolder), isFolder.boolValue else {
      throw RunError(
        "\(path): the folder \(parent) does not exist: make it first (mkdir -p), or choose another \(flag)")
    }
    try requireWritable(parent, flag)
  }

  /// - Throws: `RunError` when no folder can be made or written to there.
  public static func requireWritableFolder(_ path: String, _ flag: String) throws {
    guard !path.isEmpty else { throw RunError("\(flag): is empty: expected a folder's name") }
    var url = URL(filePath: path).standardizedFileURL
    var isFolder: ObjCBool = false
    while !FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder), url.path != "/" {
      url = url.deletingLastPathComponent()
    }
    guard isFolder.boolValue else {
      throw RunError("\(path): \(url.path) is a file, expected a folder: choose another \(flag)")
    }
    try requireWritable(url.path, flag)
  }

  private static func requireWritable(_ folder: String, _ flag: String) throws {
    guard access(folder, W_OK) == 0 else {
      throw RunError(
        "\(folder): cannot be written to: \(String(cString: strerror(errno))): choose another \(flag)")
    }
  }
}

extension FineTuning {
  /// Checks that the files a recipe names can be read, which is all that a preview needs.
  ///
  /// - Throws: `RunError` naming the file, the flag it was given with and what to do.
  public static func checkFiles(_ recipe: FineTuningRecipe) throws {
    for file in recipe.data { try Places.requireReadable(file, "--data") }
    for file in recipe.validation { try Places.requireReadable(file, "--validation") }
    for file in recipe.replay { try Places.requireReadable(file, "--replay") }
  }

  /// Checks what a run needs on disk, before its model is loaded.
  ///
  /// - Throws: `RunError` naming the file or folder and what to do.
  public static func checkPlaces(
    _ recipe: FineTuningRecipe, output: String, resume: Bool, logFolder: String?
  ) throws {
    try checkFiles(recipe)
    try Places.requireWritableFolder(output, "--output")
    if !resume { try RunFolder(output).requireFree() }
    if let logFolder = logFolder ?? (resume ? RunFolder(output).logFolder : nil) {
      try Places.requireWritableFolder(logFolder, "--logdir")
    }
  }
}
