#ifndef HEARTH_ROWS_SOFTMAX_H
#define HEARTH_ROWS_SOFTMAX_H

#include <math.h>
#include <string.h>

#include "functions.h"
#include "logarithm.h"

// Softmax of a row of logits. The sum of the exponentials is kept in sixteen doubles, number i mod 16 taking element i, and added
// in the tree.

HEARTH_INLINE float largest_of_row(const float* row, size_t count) {
  lanes largest = -INFINITY;
  for (size_t i = 0; i < count; i += LANE_COUNT)
    largest = lanes_max(largest, lanes_load_first(row + i, count - i, -INFINITY));
  return lanes_largest(largest);
}

/// Σ e^(row[i] − largest); the terms replace the row when `keep`.
HEARTH_INLINE double sum_of_exponentials(float* row, size_t count, float largest, bool keep) {
  wide_lanes sums = 0;
  for (size_t i = 0; i < count; i += LANE_COUNT) {
    lanes e = lanes_exp(lanes_load_first(row + i, count - i, -INFINITY) - largest);
    if (keep) lanes_store_first(row + i, e, count - i);
    sums += __builtin_convertvector(e, wide_lanes);
  }
  return wide_lanes_sum(sums);
}

/// Writes −log softmax(row)[target], and where `gradient`, e^(row[i] − largest) in place of the row.
///
/// Returns the sum of the exponentials; 0 for a row without a target, whose gradient is zeros. A target of −1 leaves the row out; any
/// other outsider is the caller's mistake, made visible by a loss that is not a number.
HEARTH_INLINE double loss_of_row(float* loss, float* row, size_t vocabulary, int32_t target, bool gradient) {
  if (target < 0 || (size_t)target >= vocabulary) {
    *loss = target == -1 ? 0 : NAN;
    if (gradient) memset(row, 0, vocabulary * sizeof(float));
    return 0;
  }
  const float largest = largest_of_row(row, vocabulary), chosen = row[target] - largest;
  const double total = sum_of_exponentials(row, vocabulary, largest, gradient);
  *loss = (float)(hearth_logarithm(total) - (double)chosen);
  return total;
}

#endif
