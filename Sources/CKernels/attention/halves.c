#include "halves.h"

#include <string.h>

#include "../include/isa.h"

#define LARGEST_HALF 65504.0f

static float widen_one(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000u) << 16, magnitude = half & 0x7FFFu, bits;
  if (magnitude >= 0x7C00u) {
    // Infinity, or a NaN made quiet.
    bits = 0x7F800000u | (magnitude & 0x3FFu) << 13 | (magnitude > 0x7C00u ? 0x400000u : 0);
  } else {
    // Exponent and fraction in a float's places are 2^112 too small, subnormals included.
    uint32_t shifted = magnitude << 13;
    float value;
    memcpy(&value, &shifted, sizeof value);
    value *= 0x1p112f;
    memcpy(&bits, &value, sizeof bits);
  }
  bits |= sign;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static uint16_t narrow_one(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
  uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return (uint16_t)(sign | 0x7E00u | (magnitude >> 13 & 0x1FFu));
  float absolute;
  memcpy(&absolute, &magnitude, sizeof absolute);
  if (absolute >= LARGEST_HALF) return sign | 0x7BFFu;
  if (absolute < 0x1p-14f) {
    // Subnormal: adding ½ leaves the value in units of 2^-24 in the low bits, rounded to even.
    float shifted = absolute + 0.5f;
    memcpy(&magnitude, &shifted, sizeof magnitude);
    return (uint16_t)(sign | (magnitude - 0x3F000000u));
  }
  // Round to even on the thirteen bits that go.
  magnitude += 0xFFFu + (magnitude >> 13 & 1);
  return (uint16_t)(sign | ((magnitude >> 13) - (112u << 10)));
}

static void widen_scalar(float* out, const uint16_t* in, size_t count) {
  for (size_t i = 0; i < count; i++) out[i] = widen_one(in[i]);
}

static void narrow_scalar(uint16_t* out, const float* in, size_t count) {
  for (size_t i = 0; i < count; i++) out[i] = narrow_one(in[i]);
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2,fma,f16c"))) static void widen_avx2(float* out, const uint16_t* in,
                                                                 size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8)
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(in + i))));
  widen_scalar(out + i, in + i, count - i);
}

__attribute__((target("avx512f,avx512bw,avx512vl"), min_vector_width(512))) static void
widen_avx512(float* out, const uint16_t* in, size_t count) {
  size_t i = 0;
  for (; i + 16 <= count; i += 16)
    _mm512_storeu_ps(out + i, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)(in + i))));
  widen_scalar(out + i, in + i, count - i);
}

__attribute__((target("avx2,fma,f16c"))) static void narrow_avx2(uint16_t* out, const float* in,
                                                                  size_t count) {
  const __m256 high = _mm256_set1_ps(LARGEST_HALF), low = _mm256_set1_ps(-LARGEST_HALF);
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    // The number comes second, for min and max return the second of two when one is NaN.
    __m256 x = _mm256_max_ps(low, _mm256_min_ps(high, _mm256_loadu_ps(in + i)));
    _mm_storeu_si128((__m128i*)(out + i),
                     _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  narrow_scalar(out + i, in + i, count - i);
}
#elif defined(__aarch64__)
#include <arm_neon.h>

static void widen_neon(float* out, const uint16_t* in, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    float16x8_t halves = vreinterpretq_f16_u16(vld1q_u16(in + i));
    vst1q_f32(out + i, vcvt_f32_f16(vget_low_f16(halves)));
    vst1q_f32(out + i + 4, vcvt_high_f32_f16(halves));
  }
  widen_scalar(out + i, in + i, count - i);
}

static void narrow_neon(uint16_t* out, const float* in, size_t count) {
  const float32x4_t high = vdupq_n_f32(LARGEST_HALF), low = vdupq_n_f32(-LARGEST_HALF);
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    // Minimum and maximum leave a NaN a NaN.
    float32x4_t first = vmaxq_f32(low, vminq_f32(high, vld1q_f32(in + i)));
    float32x4_t second = vmaxq_f32(low, vminq_f32(high, vld1q_f32(in + i + 4)));
    vst1q_u16(out + i, vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(first), second)));
  }
  narrow_scalar(out + i, in + i, count - i);
}
#endif

void hearth_widen_halves(float* out, const uint16_t* in, size_t count) {
#if defined(__x86_64__)
  if (hearth_isa_current() >= HEARTH_ISA_AVX512) {
    widen_avx512(out, in, count);
    return;
  }
  if (hearth_isa_current() >= HEARTH_ISA_AVX2) {
    widen_avx2(out, in, count);
    return;
  }
#elif defined(__aarch64__)
  if (hearth_isa_current() >= HEARTH_ISA_NEON) {
    widen_neon(out, in, count);
    return;
  }
#endif
  widen_scalar(out, in, count);
}

void hearth_narrow_to_halves(uint16_t* out, const float* in, size_t count) {
#if defined(__x86_64__)
  if (hearth_isa_current() >= HEARTH_ISA_AVX2) {
    narrow_avx2(out, in, count);
    return;
  }
#elif defined(__aarch64__)
  if (hearth_isa_current() >= HEARTH_ISA_NEON) {
    narrow_neon(out, in, count);
    return;
  }
#endif
  narrow_scalar(out, in, count);
}
