#ifndef HEARTH_CHECK_AFFINE_H
#define HEARTH_CHECK_AFFINE_H

#include "check.h"

/// A matrix of random weights, as blocks and packed.
typedef struct {
  const hearth_format* format;
  size_t rows, columns, row_bytes;  ///< `row_bytes` is more than a row takes, to see that it is heeded
  int terms;
  uint8_t* blocks;
} affine_example;

affine_example affine_of(const hearth_format* format, size_t rows, size_t columns, int terms);
hearth_affine* packed(const affine_example* example, hearth_pool* pool);
/// The weights as the format itself says they are.
float* affine_weights(const affine_example* example);

/// Activations [tokens, columns] of very different size from token to token.
float* activations_of(size_t tokens, size_t columns);
/// The same quantised, in kept memory.
uint8_t* quantized_activations(hearth_pool* pool, const float* x, size_t tokens, size_t columns, int terms);

#endif
