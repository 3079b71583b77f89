#include "../rows/adamw.h"

#include "bf16_internal.h"
#include "halves.h"

// AdamW and what it needs of gradients where gradients and moments are kept in bf16. All arithmetic is that of f32.

typedef struct {
  float* parameters;
  uint16_t *first, *second;
  const uint16_t* gradient;
  size_t count;
  uint32_t shift;  ///< of the dither, which is another one in each step
  adamw_factors factors;
} adamw;

/// Sixteen numbers, none of them negative, of which the first is number `at`, rounded up as often as they are near the number above.
HEARTH_INLINE half_lanes lanes_dithered(lanes x, size_t at, uint32_t shift) {
  bit_lanes bits, multiples;
  for (size_t i = 0; i < LANE_COUNT; i++) multiples[i] = (uint32_t)i * (uint32_t)HEARTH_BF16_DITHER;
  memcpy(&bits, &x, sizeof bits);
  bit_lanes noise = (multiples + ((uint32_t)at * (uint32_t)HEARTH_BF16_DITHER + shift)) >> 16;
  // Subnormals are zeros, and what is no number stays so.
  bit_lanes rounded = bits < 0x00800000u ? 0 : bits > 0x7f800000u ? bits | 0x00400000u : bits + noise;
  return __builtin_convertvector(rounded >> 16, half_lanes);
}

HEARTH_INLINE void adamw_task_body(void* context, int index, int count, const bool native) {
  const adamw* a = context;
  hearth_share share = share_of(a->count, LANE_COUNT, index, count);
  for (size_t i = share.from; i < share.to; i += LANE_COUNT) {
    size_t rest = a->count - i;
    lanes g = lanes_widened(halves_load_first(a->gradient + i, rest));
    lanes p = lanes_load_first(a->parameters + i, rest, 0);
    lanes m = lanes_widened(halves_load_first(a->first + i, rest));
    lanes v = lanes_widened(halves_load_first(a->second + i, rest));
    adamw_step(&a->factors, g, &p, &m, &v);
    halves_store_first(a->first + i, lanes_rounded(m, native), rest);
    halves_store_first(a->second + i, lanes_dithered(v, i, a->shift), rest);
    lanes_store_first(a->parameters + i, p, rest);
  }
}
HEARTH_BF16_KERNEL(adamw_task)

void hearth_bf16_adamw(hearth_pool* pool, float* parameters, uint16_t* first, uint16_t* second, const uint16_t* gradient,
                       size_t count, size_t step, const hearth_adamw_settings* settings) {
  // Multiples of it lie as evenly as those of the other, and the two have nothing in common: 2^32 times the square root of 2.
  const uint32_t shift = (uint32_t)step * 0x6A09E667u;
  adamw a = {parameters, first, second, gradient, count, shift, adamw_factors_of(settings)};
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
