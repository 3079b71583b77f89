// Products of up to three rows with halves or bytes, included by tile_product.c: decoding with grouped queries. The text for every
// instruction set would need one register more than AVX2 has, and the detour over memory would be in each chain of sums.

#include <immintrin.h>

enum { FEW_ROWS = 3 };

#define FEW_INLINE HEARTH_AVX2 __attribute__((always_inline)) static inline

/// `vectors` registers of columns of `rows` rows.
FEW_INLINE void multiply_few_columns(const bool halves, const size_t rows, const size_t vectors,
                                     const hearth_tile_product* p, size_t column) {
  __m256 sum[FEW_ROWS][4];
  UNROLLED for (size_t i = 0; i < rows; i++)
    UNROLLED for (size_t v = 0; v < vectors; v++)
      sum[i][v] = p->keep ? _mm256_loadu_ps(p->c + i * p->c_row + column + 8 * v) : _mm256_setzero_ps();
  const size_t element = halves ? 2 : 1, step = p->b_row * element;
  const char* b = (halves ? (const char*)p->halves : (const char*)p->bytes) + column * element;
  const char* ahead = (const char*)p->ahead + column * element;
  const float* a = p->a;
  for (size_t k = 0; k < p->depth; k++, a += p->a_step, b += step, ahead += step) {
    _mm_prefetch(ahead, _MM_HINT_T0);
    __m256 factor[FEW_ROWS];
    UNROLLED for (size_t i = 0; i < rows; i++) factor[i] = _mm256_broadcast_ss(a + i * p->a_row);
    UNROLLED for (size_t v = 0; v < vectors; v++) {
      __m256 columns = halves ? _mm256_cvtph_ps(_mm_loadu_si128((const void*)(b + 16 * v)))
                              : _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void*)(b + 8 * v))));
      UNROLLED for (size_t i = 0; i < rows; i++) {
        sum[i][v] = _mm256_fmadd_ps(factor[i], columns, sum[i][v]);
        // In this order, or there are more registers in use than there are.
        __asm__ volatile("" : "+x"(sum[i][v]));
      }
    }
  }
  UNROLLED for (size_t i = 0; i < rows; i++)
    UNROLLED for (size_t v = 0; v < vectors; v++)
      _mm256_storeu_ps(p->c + i * p->c_row + column + 8 * v, sum[i][v]);
}

FEW_INLINE void multiply_all_columns(const bool halves, const size_t rows, const hearth_tile_product* p) {
  size_t column = 0;
  for (; column + 32 <= p->columns; column += 32) multiply_few_columns(halves, rows, 4, p, column);
  if (column < p->columns) multiply_few_columns(halves, rows, 2, p, column);
}

FEW_INLINE void multiply_few_of(const bool halves, const hearth_tile_product* p) {
  if (p->rows == 3)
    multiply_all_columns(halves, 3, p);
  else if (p->rows == 2)
    multiply_all_columns(halves, 2, p);
  else if (p->rows == 1)
    multiply_all_columns(halves, 1, p);
}

HEARTH_AVX2 static void multiply_few_rows(const hearth_tile_product* p) {
  if (p->halves != NULL)
    multiply_few_of(true, p);
  else
    multiply_few_of(false, p);
}
