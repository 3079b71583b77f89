#include <immintrin.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "rates.h"

#define AVX2 __attribute__((target("avx2,fma")))
enum { ROUNDS = 2000000, BYTES = 512 << 20 };

static volatile float sink;

AVX2 static void multiply_add(void* context, int index, int count) {
  (void)context, (void)index, (void)count;
  __m256 sum[12], x = _mm256_set1_ps(0.5f), y = _mm256_set1_ps(0.25f);
  for (int i = 0; i < 12; i++) sum[i] = _mm256_set1_ps((float)i);
  for (int r = 0; r < ROUNDS; r++)
    for (int i = 0; i < 12; i++) {
      sum[i] = _mm256_fmadd_ps(sum[i], x, y);
      __asm__ volatile("" : "+x"(sum[i]));
    }
  for (int i = 1; i < 12; i++) sum[0] = _mm256_add_ps(sum[0], sum[i]);
  sink = _mm256_cvtss_f32(sum[0]);
}

AVX2 static void multiply_add_bytes(void* context, int index, int count) {
  (void)context, (void)index, (void)count;
  __m256i sum[6], x = _mm256_set1_epi8(3), y = _mm256_set1_epi8(5);
  for (int i = 0; i < 6; i++) sum[i] = _mm256_set1_epi16((short)i);
  for (int r = 0; r < ROUNDS; r++)
    for (int i = 0; i < 6; i++) {
      sum[i] = _mm256_add_epi16(sum[i], _mm256_maddubs_epi16(x, y));
      __asm__ volatile("" : "+x"(sum[i]), "+x"(x));
    }
  for (int i = 1; i < 6; i++) sum[0] = _mm256_add_epi16(sum[0], sum[i]);
  sink = (float)_mm256_extract_epi32(sum[0], 0);
}

AVX2 static void read_bytes(void* context, int index, int count) {
  const uint8_t* bytes = context;
  size_t share = BYTES / (size_t)count / 4096 * 4096;
  const uint8_t* from = bytes + (size_t)index * share;
  __m256i sum[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                    _mm256_setzero_si256()};
  for (size_t i = 0; i < share; i += 128) {
    // As kernels do: the processor's own prefetching stops at pages.
    _mm_prefetch((const char*)from + i + 4096, _MM_HINT_T0);
    _mm_prefetch((const char*)from + i + 4096 + 64, _MM_HINT_T0);
    for (int v = 0; v < 4; v++)
      sum[v] = _mm256_xor_si256(sum[v], _mm256_load_si256((const void*)(from + i + 32 * v)));
  }
  for (int v = 1; v < 4; v++) sum[0] = _mm256_xor_si256(sum[0], sum[v]);
  sink = (float)_mm256_extract_epi32(sum[0], 0);
}

double fma_ceiling(hearth_pool* pool) {
  double best;
  SHORTEST(best, hearth_pool_run(pool, multiply_add, NULL));
  return hearth_pool_threads(pool) * (double)ROUNDS * 12 * 8 * 2 / best;
}

double integer_ceiling(hearth_pool* pool) {
  double best;
  SHORTEST(best, hearth_pool_run(pool, multiply_add_bytes, NULL));
  return hearth_pool_threads(pool) * (double)ROUNDS * 6 * 32 * 2 / best;
}

double bandwidth_ceiling(hearth_pool* pool) {
  // In huge pages, or the ceiling would be that of the address cache.
  uint8_t* bytes = aligned_alloc(2 << 20, BYTES);
  if (bytes == NULL) return 0;
  madvise(bytes, BYTES, MADV_HUGEPAGE);
  memset(bytes, 1, BYTES);
  double best;
  SHORTEST(best, hearth_pool_run(pool, read_bytes, bytes));
  free(bytes);
  return BYTES / best;
}
