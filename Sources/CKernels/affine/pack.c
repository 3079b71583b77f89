#include <stdatomic.h>
#include <stdlib.h>

#include "../attention/halves.h"
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

/// The rows of one block of a panel, unpacked.
typedef struct {
  uint8_t q[HEARTH_PANEL_ROWS][HEARTH_BLOCK_COLUMNS];
  float factors[2 * 2 * HEARTH_PANEL_ROWS];  ///< scales [parts, 16], minimums [parts, 16]
} unpacked_rows;

typedef uint32_t fours __attribute__((ext_vector_type(4)));
typedef uint8_t sixteen __attribute__((ext_vector_type(16)));

/// The sixteen bytes that a row's columns of half `half` take; both halves in one with four bits.
static inline sixteen row_bytes_of(const uint8_t* q, const size_t bits, size_t half) {
  sixteen low, high;
  memcpy(&low, q + 16 * half, sizeof low);
  if (bits == 8) return low;
  memcpy(&high, q + 16, sizeof high);
  return (low & 15) | high << 4;
}

/// Writes the columns of all rows in fours of bytes, those of a row one below the other; returns all q together, by or.
static inline uint32_t store_q(uint8_t* block, const unpacked_rows* rows, const size_t bits) {
  sixteen all = 0;
  for (size_t half = 0; half < bits / 4; half++)
    for (size_t r = 0; r < HEARTH_PANEL_ROWS; r += 4) {
      fours x[4], y[4];
      for (size_t i = 0; i < 4; i++) {
        sixteen bytes = row_bytes_of(rows->q[r + i], bits, half);
        all |= bytes;
        memcpy(&x[i], &bytes, sizeof bytes);
      }
      // Two rounds of interleaving rows two apart are a transposition.
      for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 2; i++) {
          y[2 * i] = __builtin_shufflevector(x[i], x[i + 2], 0, 4, 1, 5);
          y[2 * i + 1] = __builtin_shufflevector(x[i], x[i + 2], 2, 6, 3, 7);
        }
        memcpy(x, y, sizeof x);
      }
      for (size_t g = 0; g < 4; g++) memcpy(block + 64 * (4 * half + g) + 4 * r, &x[g], sizeof x[g]);
    }
  return __builtin_reduce_or(all);
}

/// Writes the factors behind the columns; false when one had to be rounded.
static bool store_factors(const hearth_affine* matrix, uint8_t* block, const float* factors) {
  size_t count = 2 * (size_t)matrix->parts * HEARTH_PANEL_ROWS;
  uint8_t* to = block + hearth_affine_q_bytes(matrix);
  if (!matrix->half_precision) {
    memcpy(to, factors, count * sizeof *factors);
    return true;
  }
  uint16_t halves[2 * 2 * HEARTH_PANEL_ROWS];
  float back[2 * 2 * HEARTH_PANEL_ROWS];
  hearth_narrow_to_halves(halves, factors, count);
  hearth_widen_halves(back, halves, count);
  memcpy(to, halves, count * sizeof *halves);
  return memcmp(back, factors, count * sizeof *factors) == 0;
}

/// False when a factor had to be rounded.
static bool pack_block(const packing* p, uint8_t* block, size_t panel, size_t b, uint32_t* levels) {
  const hearth_affine* matrix = p->matrix;
  unpacked_rows rows;
  size_t top = panel * HEARTH_PANEL_ROWS, left = matrix->rows - top, parts = matrix->parts;
  if (left < HEARTH_PANEL_ROWS) memset(&rows, 0, sizeof rows);
  for (size_t r = 0; r < HEARTH_PANEL_ROWS && r < left; r++) {
    float scale[2], minimum[2];
    p->format->unpack_group(rows.q[r], scale, minimum, p->rows + (top + r) * p->row_bytes, b);
    for (size_t part = 0; part < parts; part++) {
      rows.factors[part * HEARTH_PANEL_ROWS + r] = scale[part];
      rows.factors[(parts + part) * HEARTH_PANEL_ROWS + r] = minimum[part];
    }
  }
  *levels |= matrix->bits == 8 ? store_q(block, &rows, 8) : store_q(block, &rows, 4);
  return store_factors(matrix, block, rows.factors);
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
