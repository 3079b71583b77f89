#ifndef HEARTH_ROWS_ROW_FUNCTIONS_H
#define HEARTH_ROWS_ROW_FUNCTIONS_H

#include <math.h>

#include "functions.h"

// What operators on rows and the operators fused with a product have in common, so that both give the same bits.

/// 1 / sqrt(mean(x^2) + epsilon): sixteen partial sums of squares, then the tree.
HEARTH_INLINE float rms_reciprocal(const float* x, size_t width, float epsilon) {
  lanes squares = 0;
  for (size_t i = 0; i < width; i += LANE_COUNT) {
    lanes e = lanes_load_first(x + i, width - i, 0);
    squares = lanes_fma(e, e, squares);
  }
  return 1 / sqrtf(lanes_sum(squares) / (float)width + epsilon);
}

/// silu(gate) * up.
HEARTH_INLINE lanes lanes_swiglu(lanes gate, lanes up) {
  return gate / (1.0f + lanes_exp(-gate)) * up;
}

#endif
