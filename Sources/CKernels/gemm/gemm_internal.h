#ifndef HEARTH_GEMM_INTERNAL_H
#define HEARTH_GEMM_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

/// A product, or a rectangle of one: C [m, n] = op(A) [m, k] · op(B) [k, n], or added to C.
typedef struct {
  bool transpose_a, transpose_b, accumulate;
  size_t m, n, k;
  const float *a, *b;
  float* c;
  size_t lda, ldb, ldc;
} hearth_product;

/// Height and width of the tile of C that the AVX2 kernel keeps in registers.
enum { HEARTH_TILE_ROWS = 6, HEARTH_TILE_COLUMNS = 16 };

/// The plain twin: three loops, one fma each.
void hearth_product_scalar(const hearth_product* product);

/// Bytes of working memory that `hearth_product_avx2` needs, 64-byte aligned.
size_t hearth_product_avx2_bytes(void);
void hearth_product_avx2(const hearth_product* product, void* workspace);

/// This thread's working memory, kept until the thread ends. NULL when there is none to be had.
void* hearth_product_workspace(void);

#endif
