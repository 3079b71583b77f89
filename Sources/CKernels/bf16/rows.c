#include "halves.h"

#include "../include/bf16.h"
#include "../rows/rotation.h"
#include "turn.h"

// Matrices of floats to bf16, and bf16 matrices turned.

enum { LINE = 32 };  ///< numbers in a line of the cache

size_t hearth_bf16_stride(size_t columns) {
  // A few numbers, as of a rank: several rows share a line.
  if (columns <= LINE / 2) return (columns + 7) / 8 * 8;
  size_t lines = (columns + LINE - 1) / LINE;
  return (lines > 1 && lines % 16 == 0 ? lines + 1 : lines) * LINE;
}

typedef struct {
  uint16_t* y;
  const float *x, *weight;
  const uint16_t* halves;
  float* reciprocal;
  size_t ldy, ldx, rows, columns;
  float epsilon;
} rounding;

/// The even number of columns that a row of `columns` has with its padding.
static inline size_t padded(size_t columns) { return columns + columns % 2; }

HEARTH_INLINE void round_task_body(void* context, int index, int count, const bool native) {
  const rounding* r = context;
  hearth_share share = share_of(r->rows, 1, index, count);
  for (size_t row = share.from; row < share.to; row++) {
    const float* x = r->x + row * r->ldx;
    uint16_t* y = r->y + row * r->ldy;
    for (size_t i = 0; i < r->columns; i += LANE_COUNT)
      halves_store_first(y + i, lanes_rounded(lanes_load_first(x + i, r->columns - i, 0), native), padded(r->columns) - i);
  }
}
HEARTH_BF16_KERNEL(round_task)

void hearth_bf16_round(hearth_pool* pool, uint16_t* y, size_t ldy, const float* x, size_t ldx,
                       size_t rows, size_t columns) {
  rounding r = {.y = y, .ldy = ldy, .x = x, .ldx = ldx, .rows = rows, .columns = columns};
  hearth_pool_run(pool_for(pool, rows * columns), round_task, &r);
}

HEARTH_INLINE void norm_task_body(void* context, int index, int count, const bool native) {
  const rounding* r = context;
  const size_t width = r->columns;
  hearth_share share = share_of(r->rows, 1, index, count);
  for (size_t row = share.from; row < share.to; row++) {
    const float* x = r->x + row * r->ldx;
    uint16_t* y = r->y + row * r->ldy;
    float reciprocal = rms_reciprocal(x, width, r->epsilon);
    for (size_t i = 0; i < width; i += LANE_COUNT) {
      lanes normal = lanes_load_first(x + i, width - i, 0) * reciprocal;
      lanes value = lanes_load_first(r->weight + i, width - i, 0) * normal;
      halves_store_first(y + i, lanes_rounded(value, native), padded(width) - i);
    }
    if (r->reciprocal) r->reciprocal[row] = reciprocal;
  }
}
HEARTH_BF16_KERNEL(norm_task)

void hearth_bf16_rms_norm(hearth_pool* pool, uint16_t* y, size_t ldy, float* reciprocal,
                          const float* x, const float* weight, size_t rows, size_t width,
                          float epsilon) {
  rounding r = {.y = y, .ldy = ldy, .x = x, .ldx = width, .weight = weight, .reciprocal = reciprocal,
                .rows = rows, .columns = width, .epsilon = epsilon};
  hearth_pool_run(pool_for(pool, rows * width), norm_task, &r);
}


HEARTH_INLINE void transpose_task_body(void* context, int index, int count, const bool native) {
  (void)native;
  const rounding* r = context;
  // Of x, `rows` rows become columns; a worker has some of x's columns.
  hearth_share share = share_of(r->columns, LANE_COUNT, index, count);
  for (size_t row = 0; row < padded(r->rows); row += LANE_COUNT)
    for (size_t column = share.from; column < share.to; column += LANE_COUNT) {
      half_lanes x[16];
      for (size_t i = 0; i < 16; i++)
        x[i] = row + i < r->rows ? halves_load_first(r->halves + (row + i) * r->ldx + column, r->columns - column)
                                 : (half_lanes)(0);
      turn_sixteen(x);
      for (size_t i = 0; i < 16 && column + i < r->columns; i++)
        halves_store_first(r->y + (column + i) * r->ldy + row, x[i], padded(r->rows) - row);
    }
}
HEARTH_BF16_KERNEL(transpose_task)

void hearth_bf16_transpose(hearth_pool* pool, uint16_t* y, size_t ldy, const uint16_t* x,
                           size_t ldx, size_t rows, size_t columns) {
  rounding r = {.y = y, .ldy = ldy, .halves = x, .ldx = ldx, .rows = rows, .columns = columns};
  hearth_pool_run(pool_for(pool, rows * columns), transpose_task, &r);
}

typedef struct {
  uint16_t* x;
  const int32_t* positions;
  const float *cosines, *sines;
  size_t ldx, rows, heads, width;
  hearth_rope_pairing pairing;
  bool inverse;
} rope;

enum { HEAD_WIDTH_MAXIMUM = 512 };

HEARTH_INLINE void rope_task_body(void* context, int index, int count, const bool native) {
  const rope* r = context;
  const size_t pairs = r->width / 2;
  float head[HEAD_WIDTH_MAXIMUM];
  hearth_share share = share_of(r->rows, 1, index, count);
  for (size_t row = share.from; row < share.to; row++) {
    const size_t at = (size_t)r->positions[row] * pairs;
    for (size_t h = 0; h < r->heads; h++) {
      uint16_t* x = r->x + row * r->ldx + h * r->width;
      for (size_t i = 0; i < r->width; i += LANE_COUNT)
        lanes_store_first(head + i, lanes_widened(halves_load_first(x + i, r->width - i)), r->width - i);
      rotate_head(head, r->cosines + at, r->sines + at, r->inverse ? -1 : 1, pairs, r->pairing);
      for (size_t i = 0; i < r->width; i += LANE_COUNT)
        halves_store_first(x + i, lanes_rounded(lanes_load_first(head + i, r->width - i, 0), native), r->width - i);
    }
  }
}
HEARTH_BF16_KERNEL(rope_task)

void hearth_bf16_rope(hearth_pool* pool, uint16_t* x, size_t ldx, const int32_t* positions,
                      const float* cosines, const float* sines, size_t rows, size_t heads,
                      size_t head_width, hearth_rope_pairing pairing, bool inverse) {
  rope r = {x, positions, cosines, sines, ldx, rows, heads, head_width, pairing, inverse};
  hearth_pool_run(pool_for(pool, rows * heads * head_width), rope_task, &r);
}
