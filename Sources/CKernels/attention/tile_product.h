#ifndef HEARTH_ATTENTION_TILE_PRODUCT_H
#define HEARTH_ATTENTION_TILE_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// c[i, j] = (keep ? c[i, j] : 0) + Σ_k a[i, k]·b[k, j], each element one chain of fused
/// multiply-adds over k in order, so that no element depends on how rows are gathered into tiles.
/// For operands that fit the first cache.
typedef struct {
  size_t rows, columns, depth;  ///< columns is a multiple of 16
  const float* a;               ///< a[i, k] at a[i * a_row + k * a_step]
  size_t a_row, a_step;
  const float* b;          ///< rows of at least `columns`, b_row apart
  const uint16_t* halves;  ///< instead of `b`, where hearth_tile_reads_packed: numbers in f16
  const int8_t* bytes;     ///< likewise: small integers
  /// With halves or bytes: what is multiplied by next, of the same shape, which the processor does not see coming; or `halves` or
  /// `bytes` again.
  const void* ahead;
  size_t b_row;
  float* c;  ///< likewise, c_row apart
  size_t c_row;
  bool keep;
} hearth_tile_product;

void hearth_tile_multiply(const hearth_tile_product* product);

/// What b consists of.
typedef enum { HEARTH_TILE_FLOATS, HEARTH_TILE_HALVES, HEARTH_TILE_BYTES } hearth_tile_elements;

/// Whether halves and bytes are better read as they are than widened first: this CPU can, and few rows share them.
bool hearth_tile_reads_packed(size_t rows);

#endif
