#ifndef HEARTH_DENSE_H
#define HEARTH_DENSE_H

#include <stddef.h>
#include <stdint.h>

#include "threads.h"

/// A weight matrix [rows, columns] of floats packed for serving: panels of 32 output rows side by side, column after
/// column, in the two or four bytes that the file has.
typedef struct hearth_dense hearth_dense;

/// How a dense matrix's elements are stored and multiplied.
typedef enum {
  HEARTH_DENSE_F32 = 0,
  HEARTH_DENSE_F16 = 1,
  HEARTH_DENSE_BF16 = 2,
  /// bf16 elements, as in HEARTH_DENSE_BF16, that are multiplied with tokens rounded to bf16; an even number of columns.
  HEARTH_DENSE_BF16_ROUNDED = 3,
} hearth_dense_type;

/// Packs `rows` rows of `columns` elements, `row_bytes` apart; NULL when out of memory.
hearth_dense* hearth_dense_pack(hearth_pool* pool, hearth_dense_type type, const void* elements,
                                size_t row_bytes, size_t rows, size_t columns);
void hearth_dense_free(hearth_dense* matrix);
size_t hearth_dense_bytes(const hearth_dense* matrix);

/// y[t, r] = one chain of fused multiply-adds over the columns in order, in f32: the bits of `hearth_sgemm` on the same
/// numbers, whatever the tokens, threads and instruction set; of HEARTH_DENSE_BF16_ROUNDED the bits of `hearth_bf16_products`. x is
/// [tokens, columns], rows `ldx` apart; all matrices have the same columns; y is [tokens, rows], rows `ldys` apart.
/// `rounded` is room for hearth_dense_rounded_count numbers; NULL when that is 0.
void hearth_dense_matmul(hearth_pool* pool, size_t count, const hearth_dense* const* matrices,
                         const float* x, size_t ldx, size_t tokens, float* const* ys,
                         const size_t* ldys, uint16_t* rounded);

/// Numbers of working memory that such a product needs: the tokens in bf16 where a matrix wants them so.
size_t hearth_dense_rounded_count(size_t count, const hearth_dense* const* matrices, size_t tokens);

#endif
