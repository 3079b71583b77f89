#include "../rows/adamw.h"

#include "bf16_internal.h"
#include "halves.h"

// AdamW and what it needs of gradients where gradients and first moments are kept in bf16. All arithmetic is that of f32.

typedef struct {
  float* parameters;
  uint16_t* first;
  float* second;
  const uint16_t* gradient;
  size_t count;
  adamw_factors factors;
} adamw;

HEARTH_INLINE void adamw_task_body(void* context, int index, int count, const bool native) {
  const adamw* a = context;
  hearth_share share = share_of(a->count, LANE_COUNT, index, count);
  for (size_t i = share.from; i < share.to; i += LANE_COUNT) {
    size_t rest = a->count - i;
    lanes g = lanes_widened(halves_load_first(a->gradient + i, rest));
    lanes p = lanes_load_first(a->parameters + i, rest, 0);
    lanes m = lanes_widened(halves_load_first(a->first + i, rest)), v = lanes_load_first(a->second + i, rest, 0);
    adamw_step(&a->factors, g, &p, &m, &v);
    halves_store_first(a->first + i, lanes_rounded(m, native), rest);
    lanes_store_first(a->second + i, v, rest);
    lanes_store_first(a->parameters + i, p, rest);
  }
}
HEARTH_BF16_KERNEL(adamw_task)

void hearth_bf16_adamw(hearth_pool* pool, float* parameters, uint16_t* first, float* second, const uint16_t* gradient,
                       size_t count, const hearth_adamw_settings* settings) {
  adamw a = {parameters, first, second, gradient, count, adamw_factors_of(settings)};
  hearth_pool_run(pool_for(pool, count), adamw_task, &a);
}

// Tiles of 16384, sixteen partial sums and the tree in each, the tiles' totals in order: as in f32.
enum { TILE = 16384, TILES = 1024 };

typedef struct {
  const uint16_t* x;
  double* totals;
  size_t count;
} squares;

HEARTH_INLINE void squares_task_body(void* context, int index, int count, const bool native) {
  (void)native;
  const squares* s = context;
  hearth_share share = share_of(s->count, TILE, index, count);
  for (size_t start = share.from; start < share.to; start += TILE) {
    const size_t end = share.to - start < TILE ? share.to : start + TILE;
    wide_lanes sums = 0;
    for (size_t i = start; i < end; i += LANE_COUNT) {
      wide_lanes e = __builtin_convertvector(lanes_widened(halves_load_first(s->x + i, end - i)), wide_lanes);
      sums += e * e;
    }
    s->totals[start / TILE] = wide_lanes_sum(sums);
  }
}
HEARTH_BF16_KERNEL(squares_task)

double hearth_bf16_sum_of_squares(hearth_pool* pool, const uint16_t* x, size_t count) {
  double totals[TILES], total = 0;
  for (size_t first = 0; first < count; first += (size_t)TILES * TILE) {
    squares s = {x + first, totals, count - first < (size_t)TILES * TILE ? count - first : (size_t)TILES * TILE};
    hearth_pool_run(pool_for(pool, s.count), squares_task, &s);
    for (size_t t = 0; t * TILE < s.count; t++) total += totals[t];
  }
  return total;
}

void hearth_bf16_widen(float* y, const uint16_t* x, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t bits = (uint32_t)x[i] << 16;
    memcpy(y + i, &bits, sizeof bits);
  }
}

void hearth_bf16_add(uint16_t* y, const float* x, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t bits = (uint32_t)y[i] << 16;
    float sum;
    memcpy(&sum, &bits, sizeof sum);
    y[i] = hearth_bf16_rounded(sum + x[i]);
  }
}
