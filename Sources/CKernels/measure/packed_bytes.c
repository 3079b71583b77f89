#include <string.h>

#include "../affine/affine_internal.h"
#include "../dense/dense_internal.h"
#include "../include/measure.h"

static size_t whole(size_t count, size_t of) { return count / of + (count % of != 0); }

size_t hearth_packed_bytes(const hearth_format* format, size_t rows, size_t columns) {
  if (format->affine_bits == 0)
    return whole(rows, HEARTH_DENSE_ROWS) * HEARTH_DENSE_ROWS * columns * format->block_bytes;
  if (columns % HEARTH_BLOCK_COLUMNS != 0) return 0;
  size_t parts = format->wide ? 1 : 2;
  // The factors of super-blocks are products, which f16 seldom holds.
  size_t factor_bytes = format->block_elements > HEARTH_BLOCK_COLUMNS ? 4 : 2;
  size_t block_bytes = 64 * (size_t)format->affine_bits + 2 * parts * HEARTH_PANEL_ROWS * factor_bytes;
  return whole(rows, HEARTH_PANEL_ROWS) * (columns / HEARTH_BLOCK_COLUMNS) * block_bytes;
}
