// F16: IEEE binary16. A "block" is one element.
#include "block.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

static void dequantize_plain(float* out, const uint8_t* blocks, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint16_t half;
    memcpy(&half, blocks + 2 * i, sizeof half);
    out[i] = hearth_f16_to_f32(half);
  }
}

static void quantize_plain(uint8_t* blocks, const float* values, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint16_t half = hearth_f32_to_f16(values[i]);
    memcpy(blocks + 2 * i, &half, sizeof half);
  }
}

#if defined(__x86_64__)
HEARTH_AVX2 static size_t dequantize_avx2(float* out, const uint8_t* blocks, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    __m128i halves = _mm_loadu_si128((const __m128i*)(blocks + 2 * i));
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(halves));
  }
  return i;
}

HEARTH_AVX2 static size_t quantize_avx2(uint8_t* blocks, const float* values, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    __m256 x = _mm256_loadu_ps(values + i);
    __m128i halves = _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm_storeu_si128((__m128i*)(blocks + 2 * i), halves);
  }
  return i;
}
#elif defined(__aarch64__)
static size_t dequantize_neon(float* out, const uint8_t* blocks, size_t count) {
  size_t i = 0;
  for (; i + 4 <= count; i += 4) vst1q_f32(out + i, vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(blocks + 2 * i))));
  return i;
}

static size_t quantize_neon(uint8_t* blocks, const float* values, size_t count) {
  size_t i = 0;
  for (; i + 4 <= count; i += 4) vst1_u8(blocks + 2 * i, vreinterpret_u8_f16(vcvt_f16_f32(vld1q_f32(values + i))));
  return i;
}
#endif

static void dequantize(float* out, const void* blocks, size_t count) {
  size_t done = 0;
#if defined(__x86_64__)
  if (hearth_isa_current() >= HEARTH_ISA_AVX2) done = dequantize_avx2(out, blocks, count);
#elif defined(__aarch64__)
  if (hearth_isa_current() >= HEARTH_ISA_NEON) done = dequantize_neon(out, blocks, count);
#endif
  if (done < count) dequantize_plain(out + done, (const uint8_t*)blocks + 2 * done, count - done);
}

static void quantize(void* blocks, const float* values, size_t count) {
  size_t done = 0;
#if defined(__x86_64__)
  if (hearth_isa_current() >= HEARTH_ISA_AVX2) done = quantize_avx2(blocks, values, count);
#elif defined(__aarch64__)
  if (hearth_isa_current() >= HEARTH_ISA_NEON) done = quantize_neon(blocks, values, count);
#endif
  if (done < count) quantize_plain((uint8_t*)blocks + 2 * done, values + done, count - done);
}

const hearth_format hearth_format_f16 = {
    .ggml_type = 1,
    .name = "F16",
    .block_elements = 1,
    .block_bytes = 2,
    .dequantize = dequantize,
    .quantize = quantize,
};
