#ifndef HEARTH_AFFINE_INPUTS_H
#define HEARTH_AFFINE_INPUTS_H

#include "affine_internal.h"

/// Rows to be quantised for a product.
typedef struct {
  const hearth_projection_input* input;
  hearth_activation_block* out;  ///< [tokens, terms, blocks]
  size_t tokens, blocks, terms;
} hearth_prepared_rows;

/// Quantises share `index` of `count` of the rows.
void hearth_prepare_rows(const hearth_prepared_rows* rows, int index, int count);
/// Quantises all of them.
void hearth_prepare_all_rows(hearth_pool* pool, const hearth_prepared_rows* rows);

#endif
