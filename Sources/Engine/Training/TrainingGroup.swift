internal import CKernels

/// Processes that train one model together, each on its share of every batch ("data parallelism").
///
/// All members hold the same parameters and take the same steps; what they tell each other is the sum of their gradients. A call
/// of one member waits for the same call of all others, so all must make the same calls in the same order.
public protocol TrainingGroup: AnyObject {
  /// This member's number, from 0.
  var rank: Int { get }
  /// Members in all.
  var size: Int { get }
  /// Replaces `values` by their sums over all members: the same bits for each of them.
  func sum(_ values: inout MutableSpan<Float>) throws
  /// Likewise.
  func sum(_ values: inout MutableSpan<Double>) throws
  /// Replaces `values` by those of member 0.
  func share(_ values: inout MutableSpan<Float>) throws
  /// Member 0's bytes, for each of them; what the others hand in does not matter.
  func share(_ bytes: [UInt8]) throws -> [UInt8]
}

extension TrainingGroup {
  /// Replaces bf16 numbers by those of member 0.
  fileprivate func share(_ halves: inout [UInt16]) throws {
    var values = [Float](repeating: 0, count: halves.count)
    unsafe hearth_bf16_widen(&values, halves, halves.count)
    var span = values.mutableSpan
    try share(&span)
    for index in halves.indices { halves[index] = UInt16(truncatingIfNeeded: values[index].bitPattern >> 16) }
  }

  /// Which of `count` things this member works on: as many for each as can be.
  func share(of count: Int) -> Range<Int> { count * rank / size..<count * (rank + 1) / size }
}

extension TrainingBatch {
  /// Some of the sequences.
  func sequences(_ range: Range<Int>) -> TrainingBatch {
    var share = TrainingBatch()
    let marked = Set(supervisedRows)
    for sequence in range {
      let rows = Int(starts[sequence])..<Int(starts[sequence + 1])
      // A row counts by the token after it, which `append` marks.
      share.append(
        Array(tokens[rows]), supervised: rows.map { $0 > rows.lowerBound && marked.contains($0 - 1) })
    }
    return share
  }
}

extension PreferenceBatch {
  /// Some of the pairs.
  func pairs(_ range: Range<Int>) -> PreferenceBatch {
    let answers = range.lowerBound * 2..<range.upperBound * 2
    return PreferenceBatch(sequences: sequences.sequences(answers), references: Array(references[answers]))
  }
}

extension Trainer {
  /// Gives every member the first one's parameters, moments and number of steps.
  ///
  /// - Throws: What the group throws.
  public func agree() throws {
    guard let group else { return }
    let step = try group.share(Array("\(optimizer.stepCount)".utf8))
    for (index, parameter) in optimizer.parameters.enumerated() {
      if let values = unsafe parameter.float32 {
        var span = unsafe MutableSpan(_unsafeStart: values, count: parameter.count)
        try group.share(&span)
      }
      var moments = optimizer.moments[index]
      if moments.areHalves {
        try group.share(&moments.halfFirst)
        try group.share(&moments.halfSecond)
      } else {
        var first = moments.first.mutableSpan
        try group.share(&first)
        var second = moments.second.mutableSpan
        try group.share(&second)
      }
      optimizer.restore(moments, of: index)
    }
    optimizer.stepCount = Int(String(decoding: step, as: UTF8.self)) ?? optimizer.stepCount
    model.revision += 1
  }

  /// Adds up what the members' shares gave: `sums`, and the gradients.
  ///
  /// Small matrices share a message of a few megabytes; nothing large is copied whole.
  ///
  /// - Throws: `TrainingError.groupFailed`; the gradients are zero then.
  func combine(_ sums: [Double]) throws(TrainingError) -> [Double] {
    guard let group else { return sums }
    do {
      var sums = sums
      var span = sums.mutableSpan
      try group.sum(&span)
      try combineGradients(group)
      // Members whose gradients differ by a bit would drift apart without a word.
      let norm = optimizer.gradientNorm(model.pool).bitPattern
      let leading = try group.share((0..<8).map { UInt8(truncatingIfNeeded: norm >> (8 * $0)) })
      guard leading == (0..<8).map({ UInt8(truncatingIfNeeded: norm >> (8 * $0)) }) else {
        throw TrainingError.groupFailed(
          step: stepCount + 1,
          "member \(group.rank) has another sum of gradients than the first: the messages between them are not reliable"
        )
      }
      return sums
    } catch let error as TrainingError {
      for parameter in optimizer.parameters { parameter.zeroGradient() }
      throw error
    } catch {
      for parameter in optimizer.parameters { parameter.zeroGradient() }
      throw .groupFailed(step: stepCount + 1, "\(error)")
    }
  }

  private func combineGradients(_ group: any TrainingGroup) throws {

    let room = 1 << 20
    var (message, waiting): ([Float], [(parameter: Parameter, from: Int, count: Int)]) = ([], [])
    message.reserveCapacity(room)
    func flush() throws {
      guard !message.isEmpty else { return }
      var span = message.mutableSpan
      try group.sum(&span)
      var start = 0
      for (parameter, from, count) in waiting {
        if let gradient = parameter.halfGradient {
          gradient.set(message[start..<start + count], from: from)
          start += count
          continue
        }
        guard let gradient = unsafe parameter.gradient else { continue }
        for i in 0..<count { unsafe gradient[from + i] = message[start + i] }
        start += count
      }
      message.removeAll(keepingCapacity: true)
      waiting = []
    }
    for parameter in optimizer.parameters {
      if let gradient = parameter.halfGradient { _ = unsafe gradient.materialized() }
      var from = 0
      while from < parameter.count {
        let count = min(parameter.count - from, room - message.count)
        if let gradient = parameter.halfGradient {
          message += gradient.values(from..<from + count)
        } else if let gradient = unsafe parameter.gradient {
          unsafe message.append(contentsOf: UnsafeBufferPointer(start: gradient + from, count: count))
        }
        waiting.append((parameter, from, count))
        from += count
        if message.count == room { try flush() }
      }
    }
    try flush()
  }
}
