#include "../attention/halves.h"
#include "../rows/lanes.h"
#include "dense_internal.h"

#include <stdbool.h>

// A panel times a chunk of tokens: a stretch of columns is widened to f32 once, into the first-level cache, and every tile of
// tokens reads that. Totals continue from stretch to stretch in memory, so each is one chain over the columns.

#define UNROLLED _Pragma("clang loop unroll(full)")

/// How far ahead of what is read memory is asked for. Processors with AVX-512 gain a twentieth from more, Zen 2 loses by it.
enum { PREFETCH_BYTES = 640, FAR_PREFETCH_BYTES = 2048 };

/// Tokens whose totals thirty-two registers of sixteen hold.
enum { MANY = 12 };

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

/// Memory that will be wanted: a line at `line`, and one `step` bytes farther for each column that is multiplied. Without, what is
/// multiplied and what is read from memory would take turns.
typedef struct {
  const void* line;
  size_t step;
} wanted_memory;

/// Continues `tokens` rows of totals, [.., 32], over `count` columns.
HEARTH_INLINE void multiply_tile(const size_t tokens, const float* columns, size_t count, const float* x, size_t ldx,
                                 float* totals, wanted_memory wanted) {
  const char* line = wanted.line;
  lanes total[12][2];
  UNROLLED for (size_t t = 0; t < tokens; t++)
    UNROLLED for (size_t v = 0; v < 2; v++)
      total[t][v] = lanes_load(totals + t * HEARTH_DENSE_ROWS + v * LANE_COUNT);
  for (size_t k = 0; k < count; k++, columns += HEARTH_DENSE_ROWS, line += wanted.step) {
    __builtin_prefetch(line);
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

typedef _Float16 sixteen_halves __attribute__((ext_vector_type(LANE_COUNT)));

/// A column of a panel as floats, from two bytes each.
HEARTH_INLINE void load_column(lanes weights[2], const hearth_dense_type type, const uint8_t* column) {
  if (type == HEARTH_DENSE_F16) {
    sixteen_halves halves[2];
    memcpy(halves, column, sizeof halves);
    UNROLLED for (size_t v = 0; v < 2; v++) weights[v] = __builtin_convertvector(halves[v], lanes);
    return;
  }
  narrow halves;
  memcpy(&halves, column, sizeof halves);
  wide bits = __builtin_convertvector(halves, wide) << 16;
  memcpy(weights, &bits, sizeof bits);
}

/// So few tokens that one tile has them all, straight from memory: the same chains of sums.
HEARTH_INLINE void multiply_straight(const hearth_dense_type type, const size_t tokens, const size_t ahead,
                                     const uint8_t* panel, size_t count, const float* x, size_t ldx, float* totals) {
  lanes total[MANY][2];
  UNROLLED for (size_t t = 0; t < tokens; t++) UNROLLED for (size_t v = 0; v < 2; v++) total[t][v] = 0;
  for (size_t k = 0; k < count; k++, panel += HEARTH_DENSE_ROWS * 2) {
    __builtin_prefetch(panel + ahead);
    lanes weights[2];
    load_column(weights, type, panel);
    UNROLLED for (size_t t = 0; t < tokens; t++)
      UNROLLED for (size_t v = 0; v < 2; v++)
        total[t][v] = lanes_fma(weights[v], (lanes)(x[t * ldx + k]), total[t][v]);
  }
  UNROLLED for (size_t t = 0; t < tokens; t++)
    UNROLLED for (size_t v = 0; v < 2; v++)
      lanes_store(totals + t * HEARTH_DENSE_ROWS + v * LANE_COUNT, total[t][v]);
}

/// A chunk's tokens over `count` columns by tiles of at most two tokens and all of the panel's rows, or six and half of them.
HEARTH_INLINE void multiply_few_at_once(const float* columns, size_t count, const float* x, size_t ldx, size_t tokens,
                                        const size_t most, float* totals, wanted_memory wanted) {
  size_t t = 0;
  for (; t + 6 <= tokens; t += 6)
    for (size_t half = 0; half < 2; half++)
      multiply_half_tile(6, half, columns, count, x + t * ldx, ldx, totals + t * HEARTH_DENSE_ROWS);
  for (; t + 4 <= tokens; t += 4)
    for (size_t half = 0; half < 2; half++)
      multiply_half_tile(4, half, columns, count, x + t * ldx, ldx, totals + t * HEARTH_DENSE_ROWS);
  for (; t + most <= tokens; t += most, wanted.step = 0)
    multiply_tile(most, columns, count, x + t * ldx, ldx, totals + t * HEARTH_DENSE_ROWS, wanted);
  if (most > 2 && t + 2 <= tokens) {
    multiply_tile(2, columns, count, x + t * ldx, ldx, totals + t * HEARTH_DENSE_ROWS, wanted);
    t += 2;
  }
  if (t < tokens) multiply_tile(1, columns, count, x + t * ldx, ldx, totals + t * HEARTH_DENSE_ROWS, wanted);
}

/// The same by tiles of up to twelve tokens, as few as possible and as equal as possible: a tile of one takes four times as long
/// for a token.
HEARTH_INLINE void multiply_many_at_once(const float* columns, size_t count, const float* x, size_t ldx, size_t tokens,
                                         float* totals, wanted_memory wanted) {
  const size_t tiles = (tokens + MANY - 1) / MANY;
  for (size_t i = 0; i < tiles; i++, wanted.step = 0) {
    const size_t t = tokens * i / tiles;
#define CASE(TOKENS) \
  case TOKENS: multiply_tile(TOKENS, columns, count, x + t * ldx, ldx, totals + t * HEARTH_DENSE_ROWS, wanted); break;
    switch (tokens * (i + 1) / tiles - t) {
      CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
    }
#undef CASE
  }
}

/// A whole panel straight from memory, where its type and the number of tokens allow it.
HEARTH_INLINE bool multiply_panel_straight(const hearth_dense* matrix, const uint8_t* panel, const float* x, size_t ldx,
                                           size_t tokens, const size_t most, float* totals) {
  if (matrix->type == HEARTH_DENSE_F32) return false;
  if (most < MANY) {
    // Without many registers only a single token gains, and not every instruction set widens halves.
    if (tokens > 1 || matrix->type == HEARTH_DENSE_F16) return false;
    multiply_straight(HEARTH_DENSE_BF16, 1, PREFETCH_BYTES, panel, matrix->columns, x, ldx, totals);
    return true;
  }
#define CASE(TOKENS)                                                                                    \
  case TOKENS:                                                                                          \
    if (matrix->type == HEARTH_DENSE_F16)                                                               \
      multiply_straight(HEARTH_DENSE_F16, TOKENS, FAR_PREFETCH_BYTES, panel, matrix->columns, x, ldx, totals); \
    else                                                                                                \
      multiply_straight(HEARTH_DENSE_BF16, TOKENS, FAR_PREFETCH_BYTES, panel, matrix->columns, x, ldx, totals); \
    return true;
  switch (tokens) {
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
    default: return false;
  }
#undef CASE
}

/// Tokens of a tile are as many as the registers hold: `most`, a constant.
HEARTH_INLINE void multiply_panel(const hearth_dense_product* p, const size_t most) {
  const hearth_dense* matrix = p->matrix;
  _Alignas(64) float widened[HEARTH_DENSE_STRETCH * HEARTH_DENSE_ROWS];
  _Alignas(64) float totals[HEARTH_DENSE_TOKENS * HEARTH_DENSE_ROWS];
  memset(totals, 0, p->tokens * HEARTH_DENSE_ROWS * sizeof *totals);
  const size_t column_bytes = HEARTH_DENSE_ROWS * matrix->element_bytes;
  const uint8_t* panel = matrix->data + p->panel * matrix->columns * column_bytes;
  const bool straight = multiply_panel_straight(matrix, panel, p->x + p->first * p->ldx, p->ldx, p->tokens, most, totals);
  for (size_t k = 0; k < matrix->columns && !straight; k += HEARTH_DENSE_STRETCH) {
    size_t left = matrix->columns - k, count = left < HEARTH_DENSE_STRETCH ? left : HEARTH_DENSE_STRETCH;
    const uint8_t* stored = panel + k * column_bytes;
    const float* columns = widen(widened, matrix, stored, count);
    const float* x = p->x + p->first * p->ldx + k;
    // The stretch that follows, or the next panel's first. What is not widened is read as it is multiplied.
    wanted_memory wanted = {stored + count * column_bytes, matrix->type == HEARTH_DENSE_F32 ? 0 : column_bytes};
    if (most == MANY)
      multiply_many_at_once(columns, count, x, p->ldx, p->tokens, totals, wanted);
    else
      multiply_few_at_once(columns, count, x, p->ldx, p->tokens, most, totals, wanted);
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
  multiply_panel(context, MANY);
}
#endif
HEARTH_KERNEL_OF(multiply, multiply_few, multiply_few, multiply_many)

void hearth_dense_panel_product(const hearth_dense_product* product) {
  multiply((void*)product, 0, 1);
}
