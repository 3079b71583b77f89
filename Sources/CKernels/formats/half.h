#ifndef HEARTH_HALF_H
#define HEARTH_HALF_H

#include <stdint.h>
#include <string.h>

// The two 16-bit floating-point formats, in integer arithmetic: the same bits on every CPU.
//
// Rounding is IEEE 754's round to nearest, ties to even. Infinities stay, NaNs stay NaN: they keep
// their sign and what fits of their payload, and become quiet, which is what F16C does too.

static inline uint32_t hearth_float_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static inline float hearth_float_from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/// IEEE binary16 (sign, 5 exponent bits, 10 mantissa bits) to binary32; exact, and without a
/// branch, so that loops over it become vector code.
static inline float hearth_f16_to_f32(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
  uint32_t magnitude = (uint32_t)(half & 0x7fffu) << 13;
  // Normal numbers only change the exponent's bias, from 15 to 127.
  uint32_t normal = magnitude + (112u << 23);
  // Subnormals lack the leading one that the exponent 2^-14 implies: put it in, then take it away.
  uint32_t subnormal =
      hearth_float_bits(hearth_float_from_bits(magnitude + (113u << 23)) - 0x1p-14f);
  // Infinity and NaN; the latter made quiet.
  uint32_t special = 0x7f800000u | magnitude | (magnitude > 0x0f800000u ? 0x00400000u : 0);
  uint32_t bits = magnitude < 0x00800000u ? subnormal : normal;
  return hearth_float_from_bits(sign | (magnitude < 0x0f800000u ? bits : special));
}

/// binary32 to IEEE binary16; beyond 65519.99… gives infinity.
static inline uint16_t hearth_f32_to_f16(float value) {
  uint32_t bits = hearth_float_bits(value);
  uint32_t sign = (bits >> 16) & 0x8000u;
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | ((bits >> 13) & 0x3ffu));
  // 65520 is the tie between the largest finite number and 65536, and goes to the even one.
  if (bits >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);
  // Below 2^-14 the result is subnormal, a multiple of 2^-24. Adding 0.5 puts that multiple into
  // the lowest mantissa bits of the sum (whose unit is 2^-24), rounded by the addition itself.
  if (bits < 0x38800000u) {
    float sum = hearth_float_from_bits(bits) + 0.5f;
    return (uint16_t)(sign | (hearth_float_bits(sum) - 0x3f000000u));
  }
  // A carry out of the mantissa correctly becomes the next exponent.
  uint32_t odd = (bits >> 13) & 1;
  return (uint16_t)(sign | ((bits - (112u << 23) + 0xfffu + odd) >> 13));
}

/// bfloat16 (the upper half of a binary32) to binary32; exact.
static inline float hearth_bf16_to_f32(uint16_t half) {
  return hearth_float_from_bits((uint32_t)half << 16);
}

/// binary32 to bfloat16.
static inline uint16_t hearth_f32_to_bf16(float value) {
  uint32_t bits = hearth_float_bits(value);
  // Rounding would carry some NaNs to infinity or to zero.
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((bits >> 16) | 0x40u);
  uint32_t odd = (bits >> 16) & 1;
  return (uint16_t)((bits + 0x7fffu + odd) >> 16);
}

#endif
