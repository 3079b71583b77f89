#include "../attention/halves.h"
#include "../rows/lanes.h"
#include "dense_internal.h"

#include <stdbool.h>

// A panel times a chunk of tokens: a stretch of columns is widened to f32 once, into the first-level cache, and every tile of
// tokens reads that. Totals continue from stretch to stretch in memory, so each is one chain over the columns.

#define UNROLLED _Pragma("clang loop unroll(full)")

/// Asks for memory ahead of what is read; farther ahead reads fewer bytes a second.
enum { PREFETCH_BYTES = 640 };

typedef uint16_t narrow __attribute__((ext_vector_type(HEARTH_DENSE_ROWS)));
typedef uint32_t wide __attribute__((ext_vector_type(HEARTH_DENSE_ROWS)));

/// Widens `count` columns of a panel; returns where they are.
static const float* widen(float* out, const hearth_dense* matrix, const uint8_t* columns,
                          size_t count) {
  size_t elements = count * HEARTH_DENSE_ROWS;
  if (matrix->type == HEARTH_DENSE_F32) return (const float*)(const void*)columns;
  if (matrix->type == HEARTH_DENSE_F16) {
    hearth_widen_halves(out, (const uint16_t*)(const void*)columns, elements);
    return out;
  }
  for (size_t k = 0; k < count; k++, columns += HEARTH_DENSE_ROWS * 2, out += HEARTH_DENSE_ROWS) {
    __builtin_prefetch(columns + PREFETCH_BYTES);
    narrow halves;
    memcpy(&halves, columns, sizeof halves);
    wide bits = __builtin_convertvector(halves, wide) << 16;
    memcpy(out, &bits, sizeof bits);
  }
  return out - elements;
}

/// Continues `tokens` rows of totals, [.., 32], over `count` columns.
HEARTH_INLINE void multiply_tile(const size_t tokens, const float* columns, size_t count,
                                 const float* x, size_t ldx, float* totals) {
  lanes total[12][2];
  UNROLLED for (size_t t = 0; t < tokens; t++)
    UNROLLED for (size_t v = 0; v < 2; v++)
      total[t][v] = lanes_load(totals + t * HEARTH_DENSE_ROWS + v * LANE_COUNT);
  for (size_t k = 0; k < count; k++, columns += HEARTH_DENSE_ROWS) {
    lanes weights[2] = {lanes_load(columns), lanes_load(columns + LANE_COUNT)};
    UNROLLED for (size_t t = 0; t < tokens; t++) {
      lanes factor = x[t * ldx + k];
      UNROLLED for (size_t v = 0; v < 2; v++) total[t][v] = lanes_fma(weights[v], factor, total[t][v]);
    }
  }
  UNROLLED for (size_t t = 0; t < tokens; t++)
    UNROLLED for (size_t v = 0; v < 2; v++)
      lanes_store(totals + t * HEARTH_DENSE_ROWS + v * LANE_COUNT, total[t][v]);
}

/// The same for half of the rows, `half`.
HEARTH_INLINE void multiply_half_tile(const size_t tokens, size_t half, const float* columns, size_t count,
                                      const float* x, size_t ldx, float* totals) {
  lanes total[6];
  columns += half * LANE_COUNT;
  totals += half * LANE_COUNT;
  UNROLLED for (size_t t = 0; t < tokens; t++) total[t] = lanes_load(totals + t * HEARTH_DENSE_ROWS);
  for (size_t k = 0; k < count; k++, columns += HEARTH_DENSE_ROWS) {
    lanes weights = lanes_load(columns);
    UNROLLED for (size_t t = 0; t < tokens; t++) total[t] = lanes_fma(weights, (lanes)(x[t * ldx + k]), total[t]);
  }
  UNROLLED for (size_t t = 0; t < tokens; t++) lanes_store(totals + t * HEARTH_DENSE_ROWS, total[t]);
}

/// One token with all of a panel in bf16, straight from memory: the same chains of sums.
HEARTH_INLINE void multiply_one(const uint8_t* panel, size_t count, const float* x, float* totals) {
  lanes total[2] = {0, 0};
  for (size_t k = 0; k < count; k++, panel += HEARTH_DENSE_ROWS * 2) {
    __builtin_prefetch(panel + PREFETCH_BYTES);
    narrow halves;
    memcpy(&halves, panel, sizeof halves);
    wide bits = __builtin_convertvector(halves, wide) << 16;
    lanes weights[2];
    memcpy(weights, &bits, sizeof weights);
    UNROLLED for (size_t v = 0; v < 2; v++) total[v] = lanes_fma(weights[v], (lanes)(x[k]), total[v]);
  }
  UNROLLED for (size_t v = 0; v < 2; v++) lanes_store(totals + v * LANE_COUNT, total[v]);
}

/// Tokens of a tile are as many as the registers hold: `most`, a constant.
HEARTH_INLINE void multiply_panel(const hearth_dense_product* p, const size_t most) {
  const hearth_dense* matrix = p->matrix;
  _Alignas(64) float widened[HEARTH_DENSE_STRETCH * HEARTH_DENSE_ROWS];
  _Alignas(64) float totals[HEARTH_DENSE_TOKENS * HEARTH_DENSE_ROWS];
  memset(totals, 0, p->tokens * HEARTH_DENSE_ROWS * sizeof *totals);
  const size_t column_bytes = HEARTH_DENSE_ROWS * matrix->element_bytes;
  const uint8_t* panel = matrix->data + p->panel * matrix->columns * column_bytes;
  const bool straight = p->tokens == 1 && matrix->type == HEARTH_DENSE_BF16;
  if (straight) multiply_one(panel, matrix->columns, p->x + p->first * p->ldx, totals);
  for (size_t k = 0; k < matrix->columns && !straight; k += HEARTH_DENSE_STRETCH) {
    size_t left = matrix->columns - k, count = left < HEARTH_DENSE_STRETCH ? left : HEARTH_DENSE_STRETCH;
    const float* columns = widen(widened, matrix, panel + k * column_bytes, count);
    const float* x = p->x + p->first * p->ldx + k;
    size_t t = 0;
    if (most < 6)
      for (; t + 6 <= p->tokens; t += 6)
        for (size_t half = 0; half < 2; half++)
          multiply_half_tile(6, half, columns, count, x + t * p->ldx, p->ldx, totals + t * HEARTH_DENSE_ROWS);
    if (most < 6)
      for (; t + 4 <= p->tokens; t += 4)
        for (size_t half = 0; half < 2; half++)
          multiply_half_tile(4, half, columns, count, x + t * p->ldx, p->ldx, totals + t * HEARTH_DENSE_ROWS);
    for (; t + most <= p->tokens; t += most)
      multiply_tile(most, columns, count, x + t * p->ldx, p->ldx, totals + t * HEARTH_DENSE_ROWS);
    if (most > 4)
      for (; t + 4 <= p->tokens; t += 4)
        multiply_tile(4, columns, count, x + t * p->ldx, p->ldx, totals + t * HEARTH_DENSE_ROWS);
    if (most > 2)
      for (; t + 2 <= p->tokens; t += 2)
        multiply_tile(2, columns, count, x + t * p->ldx, p->ldx, totals + t * HEARTH_DENSE_ROWS);
    for (; t < p->tokens; t++)
      multiply_tile(1, columns, count, x + t * p->ldx, p->ldx, totals + t * HEARTH_DENSE_ROWS);
  }
  size_t top = p->panel * HEARTH_DENSE_ROWS, left = matrix->rows - top;
  size_t rows = left < HEARTH_DENSE_ROWS ? left : HEARTH_DENSE_ROWS;
  for (size_t t = 0; t < p->tokens; t++)
    memcpy(p->y + (p->first + t) * p->ldy + top, totals + t * HEARTH_DENSE_ROWS, rows * sizeof *totals);
}

// Sixteen registers of eight hold the totals of two tokens, or of six for half of the rows, thirty-two of four those of three (they are read as weights pass
// by), thirty-two of sixteen those of twelve.
#if defined(__aarch64__)
#define FEW 3
#else
#define FEW 2
#endif
HEARTH_INLINE void multiply_few(void* context, int index, int count) {
  (void)index, (void)count;
  multiply_panel(context, FEW);
}
#if !defined(__aarch64__)
HEARTH_INLINE void multiply_many(void* context, int index, int count) {
  (void)index, (void)count;
  multiply_panel(context, 12);
}
#endif
HEARTH_KERNEL_OF(multiply, multiply_few, multiply_few, multiply_many)

void hearth_dense_panel_product(const hearth_dense_product* product) {
  multiply((void*)product, 0, 1);
}
