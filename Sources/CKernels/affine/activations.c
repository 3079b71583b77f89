#include <math.h>

#include "../include/isa.h"
#include "affine_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// A block of 32 activations becomes q = round(x * (127 / max|x|)), scale = max|x| / 127.
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

static void quantize_block(hearth_activation_block* block, const float* x) {
  uint32_t max = 0;
  for (int i = 0; i < 32; i++) {
    // As integers, magnitudes are ordered as numbers are, infinity next to last and NaN last.
    uint32_t magnitude = hearth_float_bits(x[i]) & 0x7fffffffu;
    if (magnitude > max) max = magnitude;
  }
  float inverse = choose_scale(block, max);
  bool finite = max < 0x7f800000u;
  int32_t sums[2] = {0, 0};
  for (int i = 0; i < 32; i++) {
    int32_t q = finite ? (int32_t)rintf(x[i] * inverse) : 0;
    block->q[i] = (int8_t)q;
    sums[i / 16] += q;
  }
  set_sums(block, sums[0], sums[1]);
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,fma,f16c")))

AVX2 static void quantize_block_avx2(hearth_activation_block* block, const float* x) {
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
  if (max >= 0x7f800000u) {
    memset(block->q, 0, sizeof block->q);
    set_sums(block, 0, 0);
    return;
  }
  __m256i q[4];
  for (int i = 0; i < 4; i++) q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse));
  // Packing works within 128-bit lanes; the permutation puts the fours back in order.
  __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
  bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256((__m256i*)block->q, bytes);
  __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
  __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  fours = _mm256_add_epi32(fours, _mm256_shuffle_epi32(fours, 0x4e));
  fours = _mm256_add_epi32(fours, _mm256_shuffle_epi32(fours, 0xb1));
  set_sums(block, _mm256_extract_epi32(fours, 0), _mm256_extract_epi32(fours, 4));
}
#endif

typedef struct {
  hearth_activation_block* out;
  const float* x;
  size_t ldx, tokens, blocks;
} quantisation;

static void quantize_tokens(void* context, int index, int count) {
  const quantisation* job = context;
  size_t first = job->tokens * (size_t)index / (size_t)count;
  size_t last = job->tokens * ((size_t)index + 1) / (size_t)count;
  void (*quantize)(hearth_activation_block*, const float*) = quantize_block;
#if defined(__x86_64__)
  if (hearth_isa_current() >= HEARTH_ISA_AVX2) quantize = quantize_block_avx2;
#endif
  for (size_t t = first; t < last; t++)
    for (size_t b = 0; b < job->blocks; b++)
      quantize(job->out + t * job->blocks + b, job->x + t * job->ldx + b * HEARTH_BLOCK_COLUMNS);
}

size_t hearth_activation_bytes(size_t columns) {
  return columns / HEARTH_BLOCK_COLUMNS * sizeof(hearth_activation_block);
}

void hearth_quantize_activations(hearth_pool* pool, void* out, const float* x, size_t ldx,
                                 size_t tokens, size_t columns) {
  quantisation job = {.out = out,
                      .x = x,
                      .ldx = ldx,
                      .tokens = tokens,
                      .blocks = columns / HEARTH_BLOCK_COLUMNS};
  // Below some microseconds of work, waking others takes longer than doing it.
  hearth_pool_run(tokens * columns < 16384 ? NULL : pool, quantize_tokens, &job);
}
