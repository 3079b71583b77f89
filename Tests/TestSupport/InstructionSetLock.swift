public import Foundation

/// Held while an instruction set is forced: the choice belongs to the whole process, so one suite at a time may make it.
public let instructionSetLock = NSLock()
