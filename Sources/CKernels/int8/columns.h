#ifndef HEARTH_INT8_COLUMNS_H
#define HEARTH_INT8_COLUMNS_H

#include <math.h>

#include "../bf16/halves.h"
#include "int8_internal.h"

// Columns of a matrix in 8 bits, 128 rows at a time. Thirty-two columns are read to floats, which stay in the first-level cache
// while the largest of each is found and they are rounded.

/// Numbers row by row, floats or halves, `ld` apart.
typedef struct {
  const float* floats;
  const uint16_t* halves;
  size_t ld;
} hearth_int8_source;

enum { HEARTH_INT8_VECTORS = HEARTH_INT8_LANES / LANE_COUNT };

typedef struct {
  lanes x[HEARTH_INT8_BLOCK][HEARTH_INT8_VECTORS];
} column_tile;

/// What numbers of sixteen columns are multiplied by before they are rounded, and what their integers stand for.
typedef struct {
  lanes inverse, scale;
  integer_lanes is_used;  ///< false where all count as zero
} column_scales;

/// Reads `rows` rows of the columns from `column` on, `count` of at most 32; the others are zeros. Asks for those that lie `ahead`
/// numbers farther on: the processor does not see so many short rows coming.
HEARTH_INLINE void read_columns(column_tile* t, const hearth_int8_source* from, size_t row, size_t rows, size_t column,
                                size_t count, size_t ahead) {
  for (size_t k = 0; k < rows; k++)
    for (size_t v = 0; v < HEARTH_INT8_VECTORS; v++) {
      const size_t at = (row + k) * from->ld + column + v * LANE_COUNT;
      if (from->floats != NULL)
        __builtin_prefetch(from->floats + at + ahead);
      else if (v == 0)
        __builtin_prefetch(from->halves + at + ahead);
      const size_t rest = count > v * LANE_COUNT ? count - v * LANE_COUNT : 0;
      if (rest == 0)
        t->x[k][v] = 0;
      else if (from->halves != NULL)
        t->x[k][v] = lanes_widened(halves_load_first(from->halves + at, rest));
      else
        t->x[k][v] = lanes_load_first(from->floats + at, rest, 0);
    }
}

/// The scales of sixteen columns of a tile.
HEARTH_INLINE column_scales scales_of(const column_tile* t, const int vector, size_t depth) {
  // As integers, magnitudes are ordered as numbers are, infinity next to last and NaN last.
  bit_lanes largest_bits = 0;
  for (size_t k = 0; k < depth; k++) {
    bit_lanes magnitude;
    memcpy(&magnitude, &t->x[k][vector], sizeof magnitude);
    magnitude &= 0x7fffffffu;
    largest_bits = largest_bits > magnitude ? largest_bits : magnitude;
  }
  lanes largest;
  memcpy(&largest, &largest_bits, sizeof largest);
  column_scales scales = {.inverse = 127 / largest};
  scales.is_used = (largest_bits < 0x7f800000u) & (scales.inverse < INFINITY);
  // What is no number makes each of the column's sums one that is none; what is too small to be divided by counts as zero.
  scales.scale = scales.is_used ? largest / 127 : (lanes)(0.0f);
  scales.scale = largest_bits >= 0x7f800000u ? (lanes)(NAN) : scales.scale;
  return scales;
}

/// Number `k` of sixteen columns, rounded.
HEARTH_INLINE integer_lanes rounded_columns(const column_tile* t, const int vector, size_t k, const column_scales* scales) {
  lanes scaled = scales->is_used ? t->x[k][vector] * scales->inverse : (lanes)(0.0f);
  return __builtin_convertvector(__builtin_elementwise_roundeven(scaled), integer_lanes);
}

#endif
