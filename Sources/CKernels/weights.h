#ifndef HEARTH_WEIGHTS_H
#define HEARTH_WEIGHTS_H

#include <stddef.h>

// Memory for packed weights. A forward pass reads all of them once, in the order in which they were packed; in pages of
// 4 KiB nearly each page would be a miss of the address cache, and under a hypervisor a miss is two walks through tables.
// So weights lie side by side in chunks that the system is asked to back by pages of 2 MiB.

typedef struct hearth_weight_chunk hearth_weight_chunk;

/// Part of a chunk.
typedef struct {
  void* data;  ///< aligned to 64 bytes, zeros when fresh but undefined when reused; NULL when there is no memory
  size_t bytes;
  hearth_weight_chunk* chunk;
} hearth_weights;

/// Memory for `bytes` bytes, from any thread.
hearth_weights hearth_weights_take(size_t bytes);

/// Gives it back; once, from any thread. A chunk goes back to the system with the last of its parts.
void hearth_weights_give(hearth_weights weights);

#endif
