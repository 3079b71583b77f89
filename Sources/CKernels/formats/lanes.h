#ifndef HEARTH_LANES_H
#define HEARTH_LANES_H

#include <stdint.h>
#include <string.h>

#include "half.h"

// Four floats at a time, in the compiler's vector type: SSE2 and NEON, which every CPU of their
// kind has. Sums are kept per lane and added in one fixed order, so a search gives the same blocks
// everywhere.

typedef float lanes __attribute__((vector_size(16)));
typedef int32_t lane_masks __attribute__((vector_size(16)));

#define HEARTH_LANES 4

static inline lanes lanes_load(const float* x) {
  lanes value;
  memcpy(&value, x, sizeof value);
  return value;
}

static inline lanes lanes_of(float x) { return (lanes){x, x, x, x}; }

static inline float lanes_sum(lanes x) { return (x[0] + x[2]) + (x[1] + x[3]); }

/// low ≤ result ≤ high, also when x is NaN (then low): what follows may convert it to an integer.
static inline lanes lanes_clamp(lanes x, lanes low, lanes high) {
  lane_masks above = x > low;
  x = (lanes)((above & (lane_masks)x) | (~above & (lane_masks)low));
  lane_masks below = x < high;
  return (lanes)((below & (lane_masks)x) | (~below & (lane_masks)high));
}

/// To the nearest integer, ties to even, for magnitudes below 2^22: adding 1.5 · 2^23 leaves no
/// bits for a fraction.
static inline lanes lanes_round(lanes x) {
  lanes shift = lanes_of(12582912.0f);
  return (x + shift) - shift;
}

/// A scale as the file will hold it: f16, saturated, and never −0.
static inline uint16_t f16_saturated(float x) {
  x = x > -65504.0f ? x : -65504.0f;
  x = x < 65504.0f ? x : 65504.0f;
  uint16_t half = hearth_f32_to_f16(x);
  return half == 0x8000 ? 0 : half;
}

/// 1/x for multiplying, 0 when that would not be finite.
static inline float inverse_or_zero(float x) {
  float magnitude = x < 0 ? -x : x;
  return magnitude > 0x1p-120f ? 1 / x : 0;
}

#endif
