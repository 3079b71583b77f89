internal import CKernels

/// Memory that this process has freed but not yet given back to the system.
///
/// The allocator keeps it for the next requests. After a model is loaded much of it lies between what stays: a tokenizer's tables
/// are built from several times their size of strings, on threads whose heaps nothing else will use.
public enum FreedMemory {
  /// Gives whole pages back to the system. Takes some milliseconds; nothing that is in use moves.
  public static func giveBack() {
    hearth_give_back_freed_memory()
  }
}
