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

static inline void quantize_block(hearth_activation_block* block, hearth_activation_block* second,
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

AVX2 static inline void quantize_block_avx2(hearth_activation_block* block,
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

// Four blocks at a time: what belongs to a block as a whole is computed for all four in one register.

enum { BLOCKS_AT_ONCE = 4 };

/// The largest magnitude of each of four blocks, as bits.
AVX512 static inline __m128i largest_magnitudes(__m512 v[BLOCKS_AT_ONCE][2]) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  __m256i m[BLOCKS_AT_ONCE];
  for (int i = 0; i < BLOCKS_AT_ONCE; i++) {
    __m512i both = _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(v[i][0]), magnitude),
                                    _mm512_and_si512(_mm512_castps_si512(v[i][1]), magnitude));
    m[i] = _mm256_max_epu32(_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64(both, 1));
  }
  __m256i first = _mm256_max_epu32(_mm256_unpacklo_epi32(m[0], m[1]), _mm256_unpackhi_epi32(m[0], m[1]));
  __m256i second = _mm256_max_epu32(_mm256_unpacklo_epi32(m[2], m[3]), _mm256_unpackhi_epi32(m[2], m[3]));
  __m256i all = _mm256_max_epu32(_mm256_unpacklo_epi64(first, second), _mm256_unpackhi_epi64(first, second));
  return _mm_max_epu32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

/// Two registers of integers become the bytes of a block, saturated; returns sums of neighbouring fours.
AVX512 static inline __m256i store_sixteens(int8_t* out, __m512i low, __m512i high) {
  __m256i bytes = _mm256_set_m128i(_mm512_cvtsepi32_epi8(high), _mm512_cvtsepi32_epi8(low));
  _mm256_storeu_si256((__m256i*)out, bytes);
  return _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), bytes);
}

/// The sums of the first half of each of four blocks, and of the second halves behind them.
AVX512 static inline __m256i half_sums(const __m256i fours[BLOCKS_AT_ONCE]) {
  return _mm256_hadd_epi32(_mm256_hadd_epi32(fours[0], fours[1]), _mm256_hadd_epi32(fours[2], fours[3]));
}

/// Writes scale and sums of four blocks; `halves` as `half_sums` has them.
AVX512 static inline void store_sums(hearth_activation_block* blocks, __m128 scales, __m256i halves) {
  __m128i low = _mm256_castsi256_si128(halves), high = _mm256_extracti128_si256(halves, 1);
  __m128 all = _mm_mul_ps(scales, _mm_cvtepi32_ps(_mm_add_epi32(low, high)));
  __m128 first = _mm_mul_ps(scales, _mm_cvtepi32_ps(low)), second = _mm_mul_ps(scales, _mm_cvtepi32_ps(high));
  _MM_TRANSPOSE4_PS(scales, all, first, second);
  // A block's scale, sum and sums of halves lie side by side.
  _mm_storeu_ps(&blocks[0].scale, scales);
  _mm_storeu_ps(&blocks[1].scale, all);
  _mm_storeu_ps(&blocks[2].scale, first);
  _mm_storeu_ps(&blocks[3].scale, second);
}

AVX512 static inline void quantize_four_avx512(hearth_activation_block* blocks, hearth_activation_block* seconds,
                                               const float* x) {
  __m512 v[BLOCKS_AT_ONCE][2];
  for (int i = 0; i < 2 * BLOCKS_AT_ONCE; i++) v[i / 2][i % 2] = _mm512_loadu_ps(x + 16 * i);
  __m128i bits = largest_magnitudes(v);
  __m128 max = _mm_castsi128_ps(bits), inverse = _mm_div_ps(_mm_set1_ps(largest), max);
  __mmask8 finite = _mm_cmplt_epu32_mask(bits, _mm_set1_epi32(0x7f800000));
  __mmask8 usable = finite & _mm_cmp_ps_mask(inverse, _mm_set1_ps(INFINITY), _CMP_LT_OQ);
  inverse = _mm_maskz_mov_ps(usable, inverse);
  __m128 scale = _mm_maskz_div_ps(usable, max, _mm_set1_ps(largest));
  scale = _mm_mask_mov_ps(_mm_set1_ps(NAN), finite, scale);
  _Alignas(16) float inverses[BLOCKS_AT_ONCE];
  _mm_store_ps(inverses, inverse);
  __m256i fours[BLOCKS_AT_ONCE], second_fours[BLOCKS_AT_ONCE];
  for (int i = 0; i < BLOCKS_AT_ONCE; i++) {
    const __mmask16 kept = finite >> i & 1 ? 0xffff : 0;
    __m512 factor = _mm512_set1_ps(inverses[i]), exact[2];
    __m512i q[2];
    for (int half = 0; half < 2; half++) {
      exact[half] = _mm512_maskz_mul_ps(kept, v[i][half], factor);
      q[half] = _mm512_cvtps_epi32(exact[half]);
    }
    fours[i] = store_sixteens(blocks[i].q, q[0], q[1]);
    if (seconds == NULL) continue;
    for (int half = 0; half < 2; half++) {
      __m512 rest = _mm512_sub_ps(exact[half], _mm512_cvtepi32_ps(q[half]));
      q[half] = _mm512_cvtps_epi32(_mm512_mul_ps(rest, _mm512_set1_ps(1 << HEARTH_TERM_BITS)));
    }
    second_fours[i] = store_sixteens(seconds[i].q, q[0], q[1]);
  }
  __m256i sums = half_sums(fours);
  store_sums(blocks, scale, sums);
  if (seconds == NULL) return;
  scale = _mm_mul_ps(scale, _mm_set1_ps(1.0f / (1 << HEARTH_TERM_BITS)));
  store_sums(seconds, scale, _mm256_add_epi32(_mm256_slli_epi32(sums, HEARTH_TERM_BITS), half_sums(second_fours)));
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

static inline void quantize_block_neon(hearth_activation_block* block, hearth_activation_block* second, const float* x) {
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

// Block after block, so that the processor can be at several of them at once.
#define QUANTIZER(NAME, TARGET, ONE)                                                              \
  TARGET static void NAME(hearth_activation_block* blocks, hearth_activation_block* seconds,      \
                          const float* x, size_t count) {                                         \
    for (size_t i = 0; i < count; i++)                                                            \
      ONE(blocks + i, seconds == NULL ? NULL : seconds + i, x + i * HEARTH_BLOCK_COLUMNS);        \
  }
QUANTIZER(quantize_blocks, , quantize_block)
#if defined(__x86_64__)
QUANTIZER(quantize_blocks_avx2, AVX2, quantize_block_avx2)
AVX512 static void quantize_blocks_avx512(hearth_activation_block* blocks, hearth_activation_block* seconds,
                                          const float* x, size_t count) {
  size_t i = 0;
  for (; i + BLOCKS_AT_ONCE <= count; i += BLOCKS_AT_ONCE)
    quantize_four_avx512(blocks + i, seconds == NULL ? NULL : seconds + i, x + i * HEARTH_BLOCK_COLUMNS);
  quantize_blocks_avx2(blocks + i, seconds == NULL ? NULL : seconds + i, x + i * HEARTH_BLOCK_COLUMNS, count - i);
}
#elif defined(__aarch64__)
QUANTIZER(quantize_blocks_neon, , quantize_block_neon)
#endif

hearth_block_quantizer hearth_choose_block_quantizer(void) {
#if defined(__x86_64__)
  if (hearth_isa_current() >= HEARTH_ISA_AVX512) return quantize_blocks_avx512;
  if (hearth_isa_current() >= HEARTH_ISA_AVX2) return quantize_blocks_avx2;
#elif defined(__aarch64__)
  if (hearth_isa_current() >= HEARTH_ISA_NEON) return quantize_blocks_neon;
#endif
  return quantize_blocks;
}

size_t hearth_activation_bytes(size_t columns, int terms) {
  return columns / HEARTH_BLOCK_COLUMNS * (size_t)terms * sizeof(hearth_activation_block);
}
