#include <stdatomic.h>
#include <stdlib.h>

#include "../pieces.h"
#include "affine_internal.h"

// A matrix is packed with f16 factors first; the first factor that f16 cannot hold ends that, and it is packed
// again with f32.

typedef struct {
  hearth_affine* matrix;
  const hearth_format* format;
  const uint8_t* rows;
  size_t row_bytes;
  _Atomic bool inexact;
  _Atomic uint32_t levels;  ///< all q together, by or
  hearth_pieces pieces;  ///< panels
} packing;

static void store_q(const hearth_affine* matrix, uint8_t* block, size_t row,
                    const uint8_t q[HEARTH_BLOCK_COLUMNS]) {
  uint8_t pairs[16];
  const uint8_t* bytes = q;
  if (matrix->bits == 4) {
    for (size_t j = 0; j < 16; j++) pairs[j] = (uint8_t)((q[j] & 15) | q[16 + j] << 4);
    bytes = pairs;
  }
  for (size_t g = 0; g < matrix->bits; g++) memcpy(block + 64 * g + 4 * row, bytes + 4 * g, 4);
}

void hearth_affine_unpack_row(const hearth_affine* matrix, const uint8_t* block, size_t row,
                              uint8_t q[HEARTH_BLOCK_COLUMNS]) {
  for (size_t g = 0; g < matrix->bits; g++) {
    for (size_t j = 0; j < 4; j++) {
      uint8_t byte = block[64 * g + 4 * row + j];
      q[4 * g + j] = matrix->bits == 8 ? byte : byte & 15;
      if (matrix->bits == 4) q[16 + 4 * g + j] = byte >> 4;
    }
  }
}

/// False when `value` had to be rounded.
static bool store_factor(const hearth_affine* matrix, uint8_t* block, size_t index, float value) {
  uint8_t* factors = block + hearth_affine_q_bytes(matrix);
  if (!matrix->half_precision) {
    memcpy(factors + 4 * index, &value, sizeof value);
    return true;
  }
  uint16_t half = hearth_f32_to_f16(value);
  memcpy(factors + 2 * index, &half, sizeof half);
  return hearth_float_bits(hearth_f16_to_f32(half)) == hearth_float_bits(value);
}

/// All 32 together, by or.
static inline uint32_t levels_of(const uint8_t q[HEARTH_BLOCK_COLUMNS]) {
  uint64_t word[4];
  memcpy(word, q, sizeof word);
  word[0] |= word[1] | word[2] | word[3];
  word[0] |= word[0] >> 32;
  word[0] |= word[0] >> 16;
  return (uint32_t)(word[0] | word[0] >> 8) & 255;
}

/// False when a factor had to be rounded.
static bool pack_block(const packing* p, uint8_t* block, size_t panel, size_t b, uint32_t* levels) {
  const hearth_affine* matrix = p->matrix;
  if ((panel + 1) * HEARTH_PANEL_ROWS > matrix->rows) memset(block, 0, matrix->block_bytes);
  bool exact = true;
  for (size_t r = 0; r < HEARTH_PANEL_ROWS; r++) {
    size_t row = panel * HEARTH_PANEL_ROWS + r;
    if (row >= matrix->rows) break;
    uint8_t q[HEARTH_BLOCK_COLUMNS];
    float scale[2], minimum[2];
    p->format->unpack_group(q, scale, minimum, p->rows + row * p->row_bytes, b);
    store_q(matrix, block, r, q);
    *levels |= levels_of(q);
    for (size_t part = 0; part < matrix->parts; part++) {
      size_t index = part * HEARTH_PANEL_ROWS + r;
      exact &= store_factor(matrix, block, index, scale[part]);
      exact &= store_factor(matrix, block, matrix->parts * HEARTH_PANEL_ROWS + index, minimum[part]);
    }
  }
  return exact;
}

static void pack_panels(void* context, int index, int count) {
  (void)index;
  packing* p = context;
  hearth_affine* matrix = p->matrix;
  uint32_t levels = 0;
  size_t first, last;
  while (hearth_pieces_take(&p->pieces, (size_t)count, &first, &last))
    for (size_t panel = first; panel < last; panel++) {
      uint8_t* block = matrix->data + panel * matrix->blocks * matrix->block_bytes;
      for (size_t b = 0; b < matrix->blocks; b++, block += matrix->block_bytes) {
        if (atomic_load_explicit(&p->inexact, memory_order_relaxed)) return;
        if (!pack_block(p, block, panel, b, &levels))
          atomic_store_explicit(&p->inexact, true, memory_order_relaxed);
      }
    }
  atomic_fetch_or_explicit(&p->levels, levels, memory_order_relaxed);
}

/// Sets how wide the factors are and gets the memory for that; false when there is none.
static bool lay_out(hearth_affine* matrix, bool half_precision) {
  size_t factors = 2 * (size_t)matrix->parts * HEARTH_PANEL_ROWS, bytes;
  matrix->half_precision = half_precision;
  matrix->block_bytes = hearth_affine_q_bytes(matrix) + factors * (half_precision ? 2 : 4);
  if (__builtin_mul_overflow(matrix->panels, matrix->blocks, &bytes) ||
      __builtin_mul_overflow(bytes, matrix->block_bytes, &bytes))
    return false;
  matrix->memory = hearth_weights_take(bytes);
  matrix->data = matrix->memory.data;
  return matrix->data != NULL;
}

hearth_affine* hearth_affine_pack(hearth_pool* pool, const hearth_format* format,
                                  const void* blocks, size_t row_bytes, size_t rows,
                                  size_t columns, int terms) {
  if (terms < 1 || terms > 2) return NULL;
  if (format->unpack_group == NULL || (format->affine_bits != 4 && format->affine_bits != 8) ||
      columns % HEARTH_BLOCK_COLUMNS != 0 || columns % format->block_elements != 0)
    return NULL;
  hearth_affine* matrix = malloc(sizeof *matrix);
  if (matrix == NULL) return NULL;
  *matrix = (hearth_affine){.rows = rows,
                            .columns = columns,
                            .panels = rows / HEARTH_PANEL_ROWS + (rows % HEARTH_PANEL_ROWS != 0),
                            .blocks = columns / HEARTH_BLOCK_COLUMNS,
                            .bits = format->affine_bits,
                            .parts = format->wide ? 1 : 2,
                            .terms = terms};
  for (int half_precision = 1; half_precision >= 0 && lay_out(matrix, half_precision);
       half_precision--) {
    packing p = {.matrix = matrix, .format = format, .rows = blocks, .row_bytes = row_bytes};
    hearth_pieces_begin(&p.pieces, matrix->panels);
    hearth_pool_share(pool, pack_panels, &p);
    matrix->levels = atomic_load(&p.levels);
    if (!atomic_load(&p.inexact)) return matrix;
    hearth_weights_give(matrix->memory);
  }
  free(matrix);
  return NULL;
}

void hearth_affine_free(hearth_affine* matrix) {
  if (matrix == NULL) return;
  hearth_weights_give(matrix->memory);
  free(matrix);
}

size_t hearth_affine_rows(const hearth_affine* matrix) { return matrix->rows; }

size_t hearth_affine_columns(const hearth_affine* matrix) { return matrix->columns; }

int hearth_affine_terms(const hearth_affine* matrix) { return matrix->terms; }

size_t hearth_affine_bytes(const hearth_affine* matrix) {
  return matrix->panels * matrix->blocks * matrix->block_bytes;
}
