#include "../include/elementwise.h"
#include "lanes.h"

// Rotary position embedding (Su et al., "RoFormer", arXiv:2104.09864, equation 34).
//
//     a' = a·cos − b·sin      b' = b·cos + a·sin
//
// each by one product and one fused multiply-add, for the pair (a, b) that turns together.

typedef struct {
  float* x;
  const int32_t* positions;
  const float *cosines, *sines;
  size_t rows, heads, head_width, rotary_width;
  hearth_rope_pairing pairing;
  bool inverse;
} rope;

HEARTH_INLINE void rotate_halves(float* head, const float* cosines, const float* sines, float sign,
                                 size_t pairs) {
  for (size_t i = 0; i < pairs; i += LANE_COUNT) {
    size_t rest = pairs - i;
    lanes cosine = lanes_load_first(cosines + i, rest, 0);
    lanes sine = lanes_load_first(sines + i, rest, 0) * sign;
    lanes a = lanes_load_first(head + i, rest, 0), b = lanes_load_first(head + pairs + i, rest, 0);
    lanes_store_first(head + i, lanes_fma(a, cosine, -(b * sine)), rest);
    lanes_store_first(head + pairs + i, lanes_fma(b, cosine, a * sine), rest);
  }
}

HEARTH_INLINE void rotate_neighbours(float* head, const float* cosines, const float* sines,
                                     float sign, size_t pairs) {
  for (size_t i = 0; i < pairs; i++) {
    float sine = sines[i] * sign, a = head[2 * i], b = head[2 * i + 1];
    head[2 * i] = __builtin_elementwise_fma(a, cosines[i], -(b * sine));
    head[2 * i + 1] = __builtin_elementwise_fma(b, cosines[i], a * sine);
  }
}

HEARTH_INLINE void rope_task_body(void* context, int index, int count) {
  const rope* r = context;
  const size_t pairs = r->rotary_width / 2;
  const float sign = r->inverse ? -1 : 1;
  hearth_share share = share_of(r->rows, 1, index, count);
  for (size_t row = share.from; row < share.to; row++) {
    const float* cosines = r->cosines + (size_t)r->positions[row] * pairs;
    const float* sines = r->sines + (size_t)r->positions[row] * pairs;
    for (size_t h = 0; h < r->heads; h++) {
      float* head = r->x + (row * r->heads + h) * r->head_width;
      if (r->pairing == HEARTH_ROPE_HALVES)
        rotate_halves(head, cosines, sines, sign, pairs);
      else
        rotate_neighbours(head, cosines, sines, sign, pairs);
    }
  }
}
HEARTH_KERNEL(rope_task)

void hearth_rope(hearth_pool* pool, float* x, const int32_t* positions, const float* cosines,
                 const float* sines, size_t rows, size_t heads, size_t head_width,
                 size_t rotary_width, hearth_rope_pairing pairing, bool inverse) {
  rope r = {x, positions, cosines, sines, rows, heads, head_width, rotary_width, pairing, inverse};
  hearth_pool_run(pool_for(pool, rows * heads * rotary_width), rope_task, &r);
}
