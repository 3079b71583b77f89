internal import Glibc

/// The learning rate as a function of the step, as `transformers` schedules it.
///
/// Linear warm-up from 0 over `warmupSteps`, then constant, linearly to 0, or half a cosine to 0 (Loshchilov and Hutter, "SGDR",
/// arXiv:1608.03983, without restarts).
public struct LearningRateSchedule: Sendable, Equatable {
  /// What the rate does after the warm-up.
  public enum Shape: String, Sendable, Codable, CaseIterable {
    case cosine, linear, constant
  }

  /// What the rate does after the warm-up.
  public let shape: Shape
  /// The rate at the end of the warm-up.
  public let peak: Double
  /// Steps in which the rate rises from 0; the first of them changes nothing.
  public let warmupSteps: Int
  /// Steps after which a falling rate has reached 0.
  public let totalSteps: Int

  /// A schedule over `totalSteps` optimiser steps, the warm-up included.
  public init(shape: Shape, peak: Double, warmupSteps: Int, totalSteps: Int) {
    self.shape = shape
    self.peak = peak
    self.warmupSteps = warmupSteps
    self.totalSteps = totalSteps
  }

  /// The rate that optimiser step `step` uses, counted from 0.
  public func rate(at step: Int) -> Double {
    if step < warmupSteps { return peak * Double(step) / Double(max(1, warmupSteps)) }
    let progress = Double(step - warmupSteps) / Double(max(1, totalSteps - warmupSteps))
    switch shape {
    case .constant: return peak
    case .linear: return peak * max(0, 1 - progress)
    case .cosine: return peak * max(0, 0.5 * (1 + cos(.pi * progress)))
    }
  }
}
