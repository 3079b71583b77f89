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

/// Height and width of the tile of C that the AVX2 and NEON kernels keep in registers, and the blocks around it (blocked.h).
enum {
  HEARTH_TILE_ROWS = 6,
  HEARTH_TILE_COLUMNS = 16,
  HEARTH_BLOCK_DEPTH = 320,     ///< most steps of k in a block
  HEARTH_BLOCK_ROWS = 192,      ///< most rows of a block of A
  HEARTH_STRIP_COLUMNS = 1536,  ///< columns of B packed at once when several blocks of A use them
  HEARTH_PACKING_SLACK = 8,     ///< floats that are written or read past a packed tile
};

/// Floats of working memory, 64-byte aligned, that the kernels need.
enum {
  HEARTH_WORKSPACE_FLOATS = HEARTH_BLOCK_DEPTH * HEARTH_BLOCK_ROWS + HEARTH_PACKING_SLACK +
                            HEARTH_BLOCK_DEPTH * HEARTH_STRIP_COLUMNS
};

/// The plain twin: three loops, one fma each.
void hearth_product_scalar(const hearth_product* product);

void hearth_product_avx2(const hearth_product* product, void* workspace);
void hearth_product_neon(const hearth_product* product, void* workspace);

/// This thread's working memory, kept until the thread ends. NULL when there is none to be had.
void* hearth_product_workspace(void);

#endif
