#ifndef HEARTH_INT8_H
#define HEARTH_INT8_H

#include <stddef.h>
#include <stdint.h>

#include "affine.h"
#include "threads.h"

// Products in 8 bits, for gradients: those that go back through a matrix, and those of a matrix. Both sides are symmetric, value = scale * q with q in
// -127...127, and have a scale for each block of 128 numbers along the depth, the last of which may be shorter:
//
//     sum = fma(scale of the matrix * scale of the row, dot, sum)
//
// block after block, dot being the exact integer. Every instruction set gives these bits.

/// A matrix [lanes, depth] in 8 bits. Lanes are the columns of the output.
typedef struct hearth_int8 hearth_int8;

/// A matrix that is still to be written, NULL when out of memory.
///
/// - Parameter memory: Where, `hearth_int8_bytes`; it stays the caller's. NULL: in memory of its own.
hearth_int8* hearth_int8_create(size_t lanes, size_t depth, void* memory);
void hearth_int8_free(hearth_int8* matrix);
/// The transpose of a packed matrix: lanes are its columns, the depth is along its rows. NULL when out of memory.
hearth_int8* hearth_int8_turn(hearth_pool* pool, const hearth_affine* matrix);
/// Writes it to a matrix of that size.
void hearth_int8_turn_packed(hearth_pool* pool, hearth_int8* to, const hearth_affine* matrix);
/// Writes the transpose of x [depth, lanes], in rows `ldx` apart, from floats or from bf16 numbers. Rounding is that of
/// `hearth_int8_quantize`.
void hearth_int8_turn_floats(hearth_pool* pool, hearth_int8* to, const float* x, size_t ldx);
void hearth_int8_turn_halves(hearth_pool* pool, hearth_int8* to, const uint16_t* x, size_t ldx);
size_t hearth_int8_lanes(const hearth_int8* matrix);
size_t hearth_int8_depth(const hearth_int8* matrix);
/// What a matrix of that size takes.
size_t hearth_int8_bytes(size_t lanes, size_t depth);
/// What it stands for: out [lanes, depth].
void hearth_int8_values(const hearth_int8* matrix, float* out);

/// What a quantised row takes; a multiple of 64.
size_t hearth_int8_row_bytes(size_t depth);
/// Quantises x [rows, columns], bf16 numbers in rows `ldx` apart, to `out`, `hearth_int8_row_bytes(columns)` a row: scale = max|x| / 127 of
/// a block, rounded half to even. A block with an infinity or a NaN makes every sum it reaches NaN; one whose largest magnitude is
/// below 4e-37 counts as zero.
void hearth_int8_quantize(hearth_pool* pool, void* out, const uint16_t* x, size_t ldx, size_t rows, size_t columns);
/// Quantises the columns of x likewise: of each `out` has a row of `hearth_int8_row_bytes(rows)`.
void hearth_int8_quantize_columns(hearth_pool* pool, void* out, const uint16_t* x, size_t ldx, size_t rows, size_t columns);

#endif
