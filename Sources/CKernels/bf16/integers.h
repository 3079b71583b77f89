#ifndef HEARTH_BF16_INTEGERS_H
#define HEARTH_BF16_INTEGERS_H

#include "bf16_internal.h"

/// An integer term's sums of rows first ..< first + rows and lanes lane ..< lane + lanes, [rows, width], overwritten; `lane` is a
/// multiple of 16 and lanes beyond the last are zero.
void hearth_bf16_integer_sums(const hearth_bf16_term* term, size_t first, size_t rows, size_t lane, size_t lanes,
                              size_t width, float* sums);

#endif
