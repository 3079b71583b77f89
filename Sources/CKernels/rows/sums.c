#include <stdlib.h>

#include "../include/elementwise.h"
#include "lanes.h"

// Scaled addition, bias and its gradient, and the norm of a gradient.

typedef struct {
  float* y;
  const float* x;
  double* totals;
  float scale;
  size_t rows, width;
} sum;

HEARTH_INLINE void add_scaled_task_body(void* context, int index, int count) {
  const sum* s = context;
  hearth_share share = share_of(s->width, LANE_COUNT, index, count);
  for (size_t i = share.from; i < share.to; i += LANE_COUNT) {
    size_t rest = s->width - i;
    lanes y = lanes_load_first(s->y + i, rest, 0), x = lanes_load_first(s->x + i, rest, 0);
    lanes_store_first(s->y + i, lanes_fma(x, (lanes)(s->scale), y), rest);
  }
}
HEARTH_KERNEL(add_scaled_task)

void hearth_add_scaled(hearth_pool* pool, float* y, const float* x, float scale, size_t count) {
  sum s = {.y = y, .x = x, .scale = scale, .width = count};
  hearth_pool_run(pool_for(pool, count), add_scaled_task, &s);
}

HEARTH_INLINE void add_bias_task_body(void* context, int index, int count) {
  const sum* s = context;
  hearth_share share = share_of(s->rows, 1, index, count);
  for (size_t row = share.from; row < share.to; row++)
    for (size_t i = 0; i < s->width; i += LANE_COUNT) {
      size_t rest = s->width - i;
      float* y = s->y + row * s->width + i;
      lanes_store_first(
          y, lanes_load_first(y, rest, 0) + lanes_load_first(s->x + i, rest, 0), rest);
    }
}
HEARTH_KERNEL(add_bias_task)

void hearth_add_bias(hearth_pool* pool, float* y, const float* bias, size_t rows, size_t width) {
  sum s = {.y = y, .x = bias, .rows = rows, .width = width};
  hearth_pool_run(pool_for(pool, rows * width), add_bias_task, &s);
}

// Each worker owns some columns and adds the rows in order.
HEARTH_INLINE void add_bias_backward_task_body(void* context, int index, int count) {
  const sum* s = context;
  hearth_share share = share_of(s->width, LANE_COUNT, index, count);
  for (size_t row = 0; row < s->rows; row++)
    for (size_t i = share.from; i < share.to; i += LANE_COUNT) {
      size_t rest = s->width - i;
      lanes dy = lanes_load_first(s->x + row * s->width + i, rest, 0);
      lanes_store_first(s->y + i, lanes_load_first(s->y + i, rest, 0) + dy, rest);
    }
}
HEARTH_KERNEL(add_bias_backward_task)

void hearth_add_bias_backward(hearth_pool* pool, float* dbias, const float* dy, size_t rows,
                              size_t width) {
  if (!dbias) return;
  sum s = {.y = dbias, .x = dy, .rows = rows, .width = width};
  hearth_pool_run(pool_for(pool, rows * width), add_bias_backward_task, &s);
}

// Squares in double precision, where the square of a float is exact: tiles of 16384, in a tile
// sixteen partial sums and the tree; the tiles' totals are added in order.
#define TILE 16384

HEARTH_INLINE double sum_of_tile(const float* x, size_t count) {
  wide_lanes squares = 0;
  for (size_t i = 0; i < count; i += LANE_COUNT) {
    wide_lanes e = __builtin_convertvector(lanes_load_first(x + i, count - i, 0), wide_lanes);
    squares += e * e;
  }
  return wide_lanes_sum(squares);
}

HEARTH_INLINE void sum_of_squares_task_body(void* context, int index, int count) {
  const sum* s = context;
  hearth_share share = share_of(s->width, TILE, index, count);
  for (size_t i = share.from; i < share.to; i += TILE) {
    size_t rest = s->width - i;
    s->totals[i / TILE] = sum_of_tile(s->x + i, rest < TILE ? rest : TILE);
  }
}
HEARTH_KERNEL(sum_of_squares_task)

double hearth_sum_of_squares(hearth_pool* pool, const float* x, size_t count) {
  double few[64], total = 0;
  // Out of memory, or few tiles: groups of tiles one after the other give the same sum.
  size_t tiles = count / TILE + (count % TILE != 0);
  double* many = tiles > 64 ? malloc(tiles * sizeof(double)) : NULL;
  size_t group = many ? tiles : 64;
  for (size_t first = 0; first < tiles; first += group) {
    size_t rest = count - first * TILE, in_group = tiles - first < group ? tiles - first : group;
    sum s = {.x = x + first * TILE, .totals = many ? many : few,
             .width = rest < in_group * TILE ? rest : in_group * TILE};
    hearth_pool_run(pool_for(pool, s.width), sum_of_squares_task, &s);
    for (size_t t = 0; t < in_group; t++) total += s.totals[t];
  }
  free(many);
  return total;
}
