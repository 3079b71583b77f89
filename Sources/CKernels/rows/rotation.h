#ifndef HEARTH_ROWS_ROTATION_H
#define HEARTH_ROWS_ROTATION_H

#include "../include/elementwise.h"
#include "lanes.h"

// Rotary position embedding (Su et al., "RoFormer", arXiv:2104.09864, equation 34) of one head.
//
//     a' = a·cos − b·sin      b' = b·cos + a·sin
//
// each by one product and one fused multiply-add, for the pair (a, b) that turns together.

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

/// `sign` −1 turns back.
HEARTH_INLINE void rotate_head(float* head, const float* cosines, const float* sines, float sign,
                               size_t pairs, hearth_rope_pairing pairing) {
  if (pairing == HEARTH_ROPE_HALVES)
    rotate_halves(head, cosines, sines, sign, pairs);
  else
    rotate_neighbours(head, cosines, sines, sign, pairs);
}

#endif
