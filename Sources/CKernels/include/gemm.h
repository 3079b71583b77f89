#ifndef HEARTH_GEMM_H
#define HEARTH_GEMM_H

#include <stdbool.h>
#include <stddef.h>

#include "threads.h"

/// C = A·B, or C += A·B when `accumulate`, in f32; op(A) is [m, k], op(B) is [k, n], C is [m, n].
///
/// Row-major. `lda`, `ldb`, `ldc` are the distances between stored rows, in elements; with
/// `transpose_a` A is stored [k, m], with `transpose_b` B is stored [n, k]. Each element of C is one
/// chain of fused multiply-adds over k in order (starting from 0, or from C's value), so the result is the same for
/// every thread count, batch and instruction set.
void hearth_sgemm(hearth_pool* pool, bool transpose_a, bool transpose_b, size_t m, size_t n,
                  size_t k, const float* a, size_t lda, const float* b, size_t ldb, float* c,
                  size_t ldc, bool accumulate);

#endif
