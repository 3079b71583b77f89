#ifndef HEARTH_MEASURE_H
#define HEARTH_MEASURE_H

#include <stddef.h>

#include "formats.h"
#include "threads.h"

/// Bytes a second that all threads of the pool together read from memory: `bytes` of it, more than any cache holds, `rounds`
/// times, the fastest round. 0 when there is no memory for it.
double hearth_read_bandwidth(hearth_pool* pool, size_t bytes, int rounds);

/// Bytes that a matrix of this format takes once packed for serving; 0 when it is not packed. For formats of blocks of 32 that is
/// exact as long as their factors fit f16 with the format's own offset, which they do but for numbers beyond its range.
size_t hearth_packed_bytes(const hearth_format* format, size_t rows, size_t columns);

/// Gives memory that was freed, but kept for later, back to the system; nothing where the C library cannot.
void hearth_give_back_freed_memory(void);

#endif
