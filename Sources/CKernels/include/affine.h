#ifndef HEARTH_AFFINE_H
#define HEARTH_AFFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats.h"
#include "threads.h"

/// A quantised weight matrix [rows, columns], packed for serving: panels of 16 output rows side by
/// side, blocks of 32 columns in order, value = scale * q + minimum.
typedef struct hearth_affine hearth_affine;

/// Packs `rows` rows of `format` blocks. `columns` is a multiple of 32 and of the format's block. NULL when out of memory or
/// when the format is not affine. `row_bytes` is the distance between rows in `blocks`. `terms` says how finely the matrix
/// reads its activations: 1 in 8 bits, 2 in 16.
hearth_affine* hearth_affine_pack(hearth_pool* pool, const hearth_format* format,
                                  const void* blocks, size_t row_bytes, size_t rows,
                                  size_t columns, int terms);
void hearth_affine_free(hearth_affine* matrix);
size_t hearth_affine_rows(const hearth_affine* matrix);
size_t hearth_affine_columns(const hearth_affine* matrix);
size_t hearth_affine_bytes(const hearth_affine* matrix);
int hearth_affine_terms(const hearth_affine* matrix);

/// Bytes that one token's quantised activations of `columns` take.
size_t hearth_activation_bytes(size_t columns, int terms);

/// Quantises x [tokens, columns] (rows `ldx` apart) into `out`, `hearth_activation_bytes(columns, terms)` a token.
///
///     x = scale * q1                    one term
///     x = scale / 256 * (256 q1 + q2)   two
///
/// Symmetric, round half to even, scale = max|x| / 127 per block of 32. A block with an infinity or a NaN makes every
/// output it reaches NaN.
void hearth_quantize_activations(hearth_pool* pool, void* out, const float* x, size_t ldx,
                                 size_t tokens, size_t columns, int terms);

/// out[i, c] = scale * q + minimum of row first_row + i, rounded once to f32; out is [rows, columns], rows `ldo` apart. For training, for
/// the reference precision, and for looking up the rows of an embedding.
void hearth_affine_dequantize_rows(const hearth_affine* matrix, float* out, size_t ldo,
                                   size_t first_row, size_t rows);

/// y[t, r] = sum over blocks in order, by fma, of scale products times exact integer dots; y is [tokens, rows], rows
/// `ldy` apart. The result does not depend on tokens, threads or instruction set. `terms` is that of the activations, at
/// least the matrix's own; a matrix of one term reads the first of two and gives what it gives for one.
void hearth_affine_matmul(hearth_pool* pool, const hearth_affine* matrix, const void* activations,
                          int terms, size_t tokens, float* y, size_t ldy);

/// Several matrices on the same activations in one go (q, k, v; gate, up), one barrier. All have the same number
/// of columns.
void hearth_affine_matmul_many(hearth_pool* pool, size_t count, const hearth_affine* const* matrices,
                               const void* activations, int terms, size_t tokens,
                               float* const* ys, const size_t* ldys);

/// What becomes of a row before it is quantised for a product.
typedef enum {
  HEARTH_INPUT_PLAIN,
  HEARTH_INPUT_RMS_NORM,  ///< hearth_rms_norm with `weight` and `epsilon`
  HEARTH_INPUT_SWIGLU,    ///< hearth_swiglu of `x` as the gate and `up`
} hearth_input_kind;

typedef struct {
  hearth_input_kind kind;
  const float* x;       ///< [tokens, columns], rows `ldx` apart
  size_t ldx;
  const float* weight;  ///< [columns]
  const float* up;      ///< like x
  float epsilon;
} hearth_projection_input;

/// y_i = W_i·f(x), or residual + W_i·f(x): the operators of a transformer's block around its products, fused. The bits are
/// those of the operators one by one.
///
/// `activations` has room for `hearth_activation_bytes` of the largest `terms` among the matrices, times tokens, times the
/// pool's threads when tokens is at most HEARTH_REPEATED_TOKENS. `residual`, unless NULL, is [tokens, rows], rows `ldresidual` apart, and goes with one matrix; it is not y.
enum { HEARTH_REPEATED_TOKENS = 2 };
void hearth_affine_project(hearth_pool* pool, const hearth_projection_input* input, size_t tokens,
                           size_t count, const hearth_affine* const* matrices, float* const* ys,
                           const size_t* ldys, const float* residual, size_t ldresidual,
                           void* activations);

#endif
