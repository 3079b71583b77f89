#ifndef HEARTH_BF16_OUTPUTS_H
#define HEARTH_BF16_OUTPUTS_H

#include "bf16_internal.h"

/// The sums of a piece, [rows, width].
typedef struct {
  const hearth_bf16_matrix* matrix;
  size_t first, rows, lane, lanes, width;
  const float *sums, *up_sums;
} hearth_bf16_sums;

/// Writes what the matrix wants of them.
void hearth_bf16_write(const hearth_bf16_sums* sums);

#endif
