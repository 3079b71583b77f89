#include <math.h>

#include "../include/isa.h"
#include "affine_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

// A block of 32 activations becomes q1 = round(x * (127 / max|x|)), scale = max|x| / 127. The second term, where there is one,
// holds what is left of the rounding, q2 = round(256 * (x * (127 / max|x|) - q1)), at most 127.
//
// A block whose reciprocal would overflow (max|x| below 4e-37) counts as zero. A block with an infinity or a NaN gets a scale of NaN, so that
// every output it reaches is NaN too, rather than a number that looks like one.

static const float largest = 127;

/// The factor to multiply by before rounding, from the bits of max|x|; sets the block's scale.
static inline float choose_scale(hearth_activation_block* block, uint32_t max_bits) {
  if (max_bits >= 0x7f800000u) {
    block->scale = NAN;
    return 0;
  }
  float max = hearth_float_from_bits(max_bits);
  float inverse = largest / max;
  bool zero = !(inverse < INFINITY);
  block->scale = zero ? 0 : max / largest;
  return zero ? 0 : inverse;
}

static inline void set_sums(hearth_activation_block* block, int32_t first, int32_t second) {
  block->half_sum[0] = block->scale * (float)first;
  block->half_sum[1] = block->scale * (float)second;
  block->sum = block->scale * (float)(first + second);
}

/// Makes `block` the second term of `first`, from its columns' sums.
static inline void finish_second(hearth_activation_block* block, const hearth_activation_block* first,
                                 const int32_t first_sums[2], const int32_t sums[2]) {
  block->scale = first->scale * (1.0f / (1 << HEARTH_TERM_BITS));
  set_sums(block, first_sums[0] * (1 << HEARTH_TERM_BITS) + sums[0],
           first_sums[1] * (1 << HEARTH_TERM_BITS) + sums[1]);
}

static void quantize_block(hearth_activation_block* block, hearth_activation_block* second,
                           const float* x) {
  uint32_t max = 0;
  for (int i = 0; i < 32; i++) {
    // As integers, magnitudes are ordered as numbers are, infinity next to last and NaN last.
    uint32_t magnitude = hearth_float_bits(x[i]) & 0x7fffffffu;
    if (magnitude > max) max = magnitude;
  }
  float inverse = choose_scale(block, max);
  bool finite = max < 0x7f800000u;
  int32_t sums[2] = {0, 0}, second_sums[2] = {0, 0};
  for (int i = 0; i < 32; i++) {
    float exact = finite ? x[i] * inverse : 0, q = rintf(exact);
    block->q[i] = (int8_t)q;
    sums[i / 16] += (int32_t)q;
    if (second == NULL) continue;
    float rest = rintf((exact - q) * (1 << HEARTH_TERM_BITS));
    second->q[i] = (int8_t)(rest < largest ? rest : largest);
    second_sums[i / 16] += second->q[i];
  }
  set_sums(block, sums[0], sums[1]);
  if (second != NULL) finish_second(second, block, sums, second_sums);
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,fma,f16c")))

/// Four registers of integers become the bytes of a block; adds up each half.
AVX2 static inline void store_bytes(int8_t* out, const __m256i q[4], int32_t sums[2]) {
  // Packing works within 128-bit lanes; the permutation puts the fours back in order.
  __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
  bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256((__m256i*)out, bytes);
  __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
  __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  fours = _mm256_add_epi32(fours, _mm256_shuffle_epi32(fours, 0x4e));
  fours = _mm256_add_epi32(fours, _mm256_shuffle_epi32(fours, 0xb1));
  sums[0] = _mm256_extract_epi32(fours, 0);
  sums[1] = _mm256_extract_epi32(fours, 4);
}

AVX2 static void quantize_block_avx2(hearth_activation_block* block,
                                     hearth_activation_block* second, const float* x) {
  __m256 v[4];
  __m256i magnitude = _mm256_set1_epi32(0x7fffffff), max8 = _mm256_setzero_si256();
  for (int i = 0; i < 4; i++) {
    v[i] = _mm256_loadu_ps(x + 8 * i);
    max8 = _mm256_max_epi32(max8, _mm256_and_si256(_mm256_castps_si256(v[i]), magnitude));
  }
  __m128i max4 = _mm_max_epi32(_mm256_castsi256_si128(max8), _mm256_extracti128_si256(max8, 1));
  max4 = _mm_max_epi32(max4, _mm_shuffle_epi32(max4, 0x4e));
  max4 = _mm_max_epi32(max4, _mm_shuffle_epi32(max4, 0xb1));
  uint32_t max = (uint32_t)_mm_cvtsi128_si32(max4);
  __m256 inverse = _mm256_set1_ps(choose_scale(block, max));
  bool finite = max < 0x7f800000u;
  __m256 exact[4];
  __m256i q[4];
  for (int i = 0; i < 4; i++) {
    exact[i] = finite ? _mm256_mul_ps(v[i], inverse) : _mm256_setzero_ps();
    q[i] = _mm256_cvtps_epi32(exact[i]);
  }
  int32_t sums[2], second_sums[2];
  store_bytes(block->q, q, sums);
  set_sums(block, sums[0], sums[1]);
  if (second == NULL) return;
  for (int i = 0; i < 4; i++) {
    __m256 rest = _mm256_sub_ps(exact[i], _mm256_cvtepi32_ps(q[i]));
    rest = _mm256_mul_ps(rest, _mm256_set1_ps(1 << HEARTH_TERM_BITS));
    q[i] = _mm256_cvtps_epi32(rest);  // 128 saturates to 127 as bytes
  }
  store_bytes(second->q, q, second_sums);
  finish_second(second, block, sums, second_sums);
}

#define AVX512                                                                      \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"), \
                 min_vector_width(512)))

/// Two registers of integers become the bytes of a block, saturated; adds up each half.
AVX512 static inline void store_sixteens(int8_t* out, const __m512i q[2], int32_t sums[2]) {
  for (int half = 0; half < 2; half++) {
    __m128i bytes = _mm512_cvtsepi32_epi8(q[half]);
    _mm_storeu_si128((__m128i*)(out + 16 * half), bytes);
    __m128i fours = _mm_dpbusd_epi32(_mm_setzero_si128(), _mm_set1_epi8(1), bytes);
    fours = _mm_add_epi32(fours, _mm_shuffle_epi32(fours, 0x4e));
    fours = _mm_add_epi32(fours, _mm_shuffle_epi32(fours, 0xb1));
    sums[half] = _mm_cvtsi128_si32(fours);
  }
}

AVX512 static void quantize_block_avx512(hearth_activation_block* block,
                                         hearth_activation_block* second, const float* x) {
  __m512 v[2] = {_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16)};
  __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  uint32_t max = _mm512_reduce_max_epu32(
      _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(v[0]), magnitude),
                       _mm512_and_si512(_mm512_castps_si512(v[1]), magnitude)));
  __m512 inverse = _mm512_set1_ps(choose_scale(block, max));
  bool finite = max < 0x7f800000u;
  __m512 exact[2];
  __m512i q[2];
  for (int i = 0; i < 2; i++) {
    exact[i] = finite ? _mm512_mul_ps(v[i], inverse) : _mm512_setzero_ps();
    q[i] = _mm512_cvtps_epi32(exact[i]);
  }
  int32_t sums[2], second_sums[2];
  store_sixteens(block->q, q, sums);
  set_sums(block, sums[0], sums[1]);
  if (second == NULL) return;
  for (int i = 0; i < 2; i++) {
    __m512 rest = _mm512_sub_ps(exact[i], _mm512_cvtepi32_ps(q[i]));
    q[i] = _mm512_cvtps_epi32(_mm512_mul_ps(rest, _mm512_set1_ps(1 << HEARTH_TERM_BITS)));
  }
  store_sixteens(second->q, q, second_sums);
  finish_second(second, block, sums, second_sums);
}
#elif defined(__aarch64__)

/// Eight registers of integers become the bytes of a block, saturated; adds up each half.
static inline void store_bytes(int8_t* out, const int32x4_t q[8], int32_t sums[2]) {
  for (int half = 0; half < 2; half++) {
    const int32x4_t* four = q + 4 * half;
    int16x8_t low = vcombine_s16(vqmovn_s32(four[0]), vqmovn_s32(four[1]));
    int16x8_t high = vcombine_s16(vqmovn_s32(four[2]), vqmovn_s32(four[3]));
    int8x16_t bytes = vcombine_s8(vqmovn_s16(low), vqmovn_s16(high));
    vst1q_s8(out + 16 * half, bytes);
    sums[half] = vaddlvq_s8(bytes);
  }
}

static void quantize_block_neon(hearth_activation_block* block, hearth_activation_block* second, const float* x) {
  float32x4_t v[8];
  uint32x4_t max4 = vdupq_n_u32(0);
  for (int i = 0; i < 8; i++) {
    v[i] = vld1q_f32(x + 4 * i);
    max4 = vmaxq_u32(max4, vreinterpretq_u32_f32(vabsq_f32(v[i])));
  }
  uint32_t max = vmaxvq_u32(max4);
  float inverse = choose_scale(block, max);
  bool finite = max < 0x7f800000u;
  float32x4_t exact[8];
  int32x4_t q[8];
  for (int i = 0; i < 8; i++) {
    exact[i] = finite ? vmulq_n_f32(v[i], inverse) : vdupq_n_f32(0);
    q[i] = vcvtnq_s32_f32(exact[i]);
  }
  int32_t sums[2], second_sums[2];
  store_bytes(block->q, q, sums);
  set_sums(block, sums[0], sums[1]);
  if (second == NULL) return;
  for (int i = 0; i < 8; i++) {
    float32x4_t rest = vsubq_f32(exact[i], vcvtq_f32_s32(q[i]));
    q[i] = vcvtnq_s32_f32(vmulq_n_f32(rest, 1 << HEARTH_TERM_BITS));  // 128 saturates to 127 as bytes
  }
  store_bytes(second->q, q, second_sums);
  finish_second(second, block, sums, second_sums);
}
#endif

hearth_block_quantizer hearth_choose_block_quantizer(void) {
#if defined(__x86_64__)
  if (hearth_isa_current() >= HEARTH_ISA_AVX512) return quantize_block_avx512;
  if (hearth_isa_current() >= HEARTH_ISA_AVX2) return quantize_block_avx2;
#elif defined(__aarch64__)
  if (hearth_isa_current() >= HEARTH_ISA_NEON) return quantize_block_neon;
#endif
  return quantize_block;
}

size_t hearth_activation_bytes(size_t columns, int terms) {
  return columns / HEARTH_BLOCK_COLUMNS * (size_t)terms * sizeof(hearth_activation_block);
}
