#ifndef HEARTH_BF16_H
#define HEARTH_BF16_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "affine.h"
#include "elementwise.h"
#include "int8.h"
#include "threads.h"

// Matrix products in bfloat16 with sums in f32, as training in bf16 computes them.
//
// A sum takes its terms two by two, as the dot product of AVX512_BF16 does on AMD's Zen 4 and as Intel documents it:
//
//     sum = f(a[2i + 1], b[2i + 1], sum)    sum = f(a[2i], b[2i], sum)
//
// f is a fused multiply-add that rounds once to nearest, ties to even, reads subnormal factors as zeros and gives a zero in
// place of a subnormal result. Every instruction set gives these bits (CPUs without the instruction at the price of f32 sums),
// whatever rows are computed together, and under any number of threads. Every sum is one chain over all terms in order.

/// Element (lane, k) of a matrix [lanes, depth]. Lanes are the columns of the output.
typedef enum {
  HEARTH_OPERAND_F32,     ///< floats, rounded to bf16 on the way
  /// Floats, rounded up or down to bf16 by a fixed pseudo-random number for each element. Of a small change of all floats as much
  /// arrives in the sum of the rounded ones; to nearest, it depends on how they lie between two numbers in bf16.
  HEARTH_OPERAND_F32_DITHERED,
  HEARTH_OPERAND_BF16,    ///< bf16 numbers, rows at any address
  HEARTH_OPERAND_AFFINE,  ///< a packed quantised matrix; its values rounded to bf16
} hearth_operand_kind;

typedef struct {
  hearth_operand_kind kind;
  const void* data;  ///< of a `hearth_affine` the matrix itself
  size_t ld;         ///< distance between stored rows, in elements; not for `hearth_affine`
  bool transposed;   ///< stored [depth, lanes], not [lanes, depth]
} hearth_operand;

/// A product that is one part of a sum: a [rows, depth] times an operand. Rows of `a` lie `lda` elements apart; when depth is odd,
/// the element after the last of each row can be read and is zero.
///
/// Or, where `int8` is given, a product in 8 bits with that matrix [lanes, depth]: in place of a, `quantized` is read, rows as
/// `hearth_int8_quantize` writes them.
typedef struct {
  const uint16_t* a;
  size_t lda;
  hearth_operand b;
  size_t depth;
  const hearth_int8* int8;
  const void* quantized;
} hearth_bf16_term;

/// What becomes of the sums.
typedef enum {
  HEARTH_OUTPUT_F32,             ///< c = scale·sum
  HEARTH_OUTPUT_ADD_F32,         ///< c = residual + scale·sum; residual may be c
  HEARTH_OUTPUT_BF16,            ///< c = scale·sum in bf16
  HEARTH_OUTPUT_ADD_BF16,        ///< c = c + scale·sum in bf16, added in f32 and rounded once
  HEARTH_OUTPUT_ADD_TRANSPOSED,  ///< c[lane, row] += scale·sum
  HEARTH_OUTPUT_SWIGLU,          ///< gate = sum of `terms`, up = sum of `up_terms`, c = silu(gate)·up, all in bf16
  HEARTH_OUTPUT_SWIGLU_BACKWARD, ///< sum = dc: dgate, dup from gate and up, which they may replace, and c again, all in bf16
} hearth_bf16_output;

enum { HEARTH_BF16_TERMS = 6 };

enum { HEARTH_BF16_GATE_LANES = 32 };

/// Gate and up kept for the gradient in 8 bits, panel by panel of 32 lanes: a number is a byte times the scale of the 32 in its row.
typedef struct {
  int8_t* q;         ///< [panels, rows, 2, 32], gate first, at a multiple of 64 bytes
  uint16_t* scales;  ///< [panels, rows, 2] in bf16
  size_t rows;
} hearth_bf16_gates;

/// One matrix of outputs.
typedef struct {
  size_t lanes;
  size_t term_count, up_term_count;
  hearth_bf16_term terms[HEARTH_BF16_TERMS];
  hearth_bf16_term up_terms[HEARTH_BF16_TERMS];
  hearth_bf16_output output;
  float scale;
  void* c;
  size_t ldc;
  const float* residual;  ///< rows `ldc` apart
  uint16_t *gate, *up;    ///< rows `ldc` apart; not written where both are NULL
  hearth_bf16_gates gates;  ///< where they have room, gate and up are kept there and not in bf16
  uint16_t *dgate, *dup;  ///< rows `ldc` apart
} hearth_bf16_matrix;

/// One more term; at most HEARTH_BF16_TERMS.
static inline void hearth_bf16_add_term(hearth_bf16_matrix* matrix, const uint16_t* a, size_t lda, hearth_operand b,
                                        size_t depth) {
  matrix->terms[matrix->term_count++] = (hearth_bf16_term){.a = a, .lda = lda, .b = b, .depth = depth};
}
static inline void hearth_bf16_add_up_term(hearth_bf16_matrix* matrix, const uint16_t* a, size_t lda,
                                           hearth_operand b, size_t depth) {
  matrix->up_terms[matrix->up_term_count++] = (hearth_bf16_term){.a = a, .lda = lda, .b = b, .depth = depth};
}
static inline void hearth_bf16_append_term(hearth_bf16_matrix* matrix, hearth_bf16_term term) {
  matrix->terms[matrix->term_count++] = term;
}
static inline void hearth_bf16_append_up_term(hearth_bf16_matrix* matrix, hearth_bf16_term term) {
  matrix->up_terms[matrix->up_term_count++] = term;
}
static inline hearth_bf16_term hearth_bf16_int8_term(const hearth_int8* int8, const void* quantized) {
  return (hearth_bf16_term){.int8 = int8, .quantized = quantized};
}

/// All matrices of a list in one go; all have `rows` rows. After an odd number of lanes in bf16 a zero follows, or, where bf16 is
/// added, what was there.
void hearth_bf16_products(hearth_pool* pool, size_t rows, size_t count,
                          const hearth_bf16_matrix* matrices);

/// Distance between rows of a bf16 matrix with `columns` columns: even, and such that neighbouring rows do not meet in the same
/// sets of the first-level cache.
size_t hearth_bf16_stride(size_t columns);

/// y = bf16(x), subnormals to zero; after an odd number of columns a zero follows. x [rows, columns], rows `ldx` apart; of y `ldy`.
void hearth_bf16_round(hearth_pool* pool, uint16_t* y, size_t ldy, const float* x, size_t ldx,
                       size_t rows, size_t columns);
/// y[c, r] = x[r, c]: rows of y are as `hearth_bf16_round` leaves them.
void hearth_bf16_transpose(hearth_pool* pool, uint16_t* y, size_t ldy, const uint16_t* x,
                           size_t ldx, size_t rows, size_t columns);
/// y[p] = x[rows[p]], or zeros where that is negative: rows of y are as `hearth_bf16_round` leaves them.
void hearth_bf16_unfold(hearth_pool* pool, uint16_t* y, size_t ldy, const uint16_t* x, size_t ldx, const int32_t* rows,
                        size_t places, size_t columns);
/// y[r] = bf16(Σ x[p]) over p = places[offsets[r]] ... places[offsets[r + 1] - 1], added in that order in f32.
void hearth_bf16_fold(hearth_pool* pool, uint16_t* y, size_t ldy, const uint16_t* x, size_t ldx, const int32_t* offsets,
                      const int32_t* places, size_t rows, size_t columns);
/// `hearth_rms_norm` with y in bf16.
void hearth_bf16_rms_norm(hearth_pool* pool, uint16_t* y, size_t ldy, float* reciprocal,
                          const float* x, const float* weight, size_t rows, size_t width,
                          float epsilon);

/// `hearth_adamw` of a parameter whose gradient and moments are kept in bf16: read widened, the moments rounded when they are
/// written, with everything between in f32. The second one changes by a thousandth a step, less than half of what lies between two
/// numbers in bf16: it is rounded up or down by a pseudo-random number for each element and step, so that on average nothing is lost.
void hearth_bf16_adamw(hearth_pool* pool, float* parameters, uint16_t* first, uint16_t* second, const uint16_t* gradient,
                       size_t count, size_t step, const hearth_adamw_settings* settings);
/// `hearth_sum_of_squares` of bf16 numbers.
double hearth_bf16_sum_of_squares(hearth_pool* pool, const uint16_t* x, size_t count);
/// The floats that bf16 numbers stand for.
void hearth_bf16_widen(float* y, const uint16_t* x, size_t count);
/// y = bf16(y + x), one by one.
void hearth_bf16_add(uint16_t* y, const float* x, size_t count);

/// `hearth_cross_entropy` of logits [rows, vocabulary], rows `ld` apart; the gradient, when `scale` is not 0, replaces them as bf16
/// numbers, rows 2 · ld apart. `ld` is at least vocabulary, and vocabulary + 1 when that is odd.
void hearth_bf16_cross_entropy(hearth_pool* pool, float* losses, float* logits, size_t ld,
                               const int32_t* targets, size_t rows, size_t vocabulary, float scale);

/// `hearth_rope` of the whole head in bf16: rows of x lie `ldx` apart.
void hearth_bf16_rope(hearth_pool* pool, uint16_t* x, size_t ldx, const int32_t* positions,
                      const float* cosines, const float* sines, size_t rows, size_t heads,
                      size_t head_width, hearth_rope_pairing pairing, bool inverse);

/// Attention of packed sequences in bf16, as `hearth_attention` is in f32: scores, softmax and all sums are f32, the
/// probabilities are rounded before they meet the values.
typedef struct {
  const int32_t* starts;  ///< [sequences + 1]
  /// [sequences] or NULL: queries before this position of their sequence are nobody's. Their rows of y, log_sum and dq are
  /// undefined, and their dy must be zero.
  const int32_t* first_queries;
  size_t sequences, heads, key_value_heads;
  size_t head_width;  ///< even
  float scale;
  bool causal;
  const uint16_t *q, *k, *v;  ///< [tokens, heads * head_width], [tokens, key_value_heads * head_width]
  size_t ldq, ldk;            ///< of q, y and dq; of k, v, dk and dv
  uint16_t* y;                ///< written by the forward pass
  float* log_sum;             ///< [tokens, heads], likewise
  const uint16_t* dy;
  uint16_t *dq, *dk, *dv;     ///< overwritten
} hearth_bf16_attention_arguments;

/// `transposed`: [key_value_heads * head_width, tokens + 1] numbers of working memory, rows hearth_bf16_stride(tokens + 1) apart.
void hearth_bf16_attention(hearth_pool* pool, const hearth_bf16_attention_arguments* arguments, uint16_t* transposed);
void hearth_bf16_attention_backward(hearth_pool* pool, const hearth_bf16_attention_arguments* arguments);

#endif
