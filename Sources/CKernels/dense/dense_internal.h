#ifndef HEARTH_DENSE_INTERNAL_H
#define HEARTH_DENSE_INTERNAL_H

#include <stdint.h>

#include "../include/dense.h"
#include "../weights.h"

enum {
  HEARTH_DENSE_ROWS = 32,     ///< of a panel
  HEARTH_DENSE_STRETCH = 96,  ///< most columns of a panel widened at a time: 12 KB
  HEARTH_DENSE_TOKENS = 96,   ///< most tokens of one panel product
};

struct hearth_dense {
  size_t rows, columns, panels;
  hearth_dense_type type;
  size_t element_bytes;
  /// [panels, columns, 32], of HEARTH_DENSE_BF16_ROUNDED [panels, columns / 2, 32, 2]; 64-byte aligned; rows beyond the last are zero
  uint8_t* data;
  hearth_weights memory;  ///< where `data` lies
};

/// y[t, r] for the rows of one panel and tokens first ..< first + tokens.
typedef struct {
  const hearth_dense* matrix;
  size_t panel, first, tokens;
  const float* x;
  size_t ldx;
  const uint16_t* rounded;  ///< of x, for HEARTH_DENSE_BF16_ROUNDED
  size_t ldrounded;
  float* y;
  size_t ldy;
} hearth_dense_product;

void hearth_dense_panel_product(const hearth_dense_product* product);
/// The same of HEARTH_DENSE_BF16_ROUNDED.
void hearth_dense_rounded_panel_product(const hearth_dense_product* product);

#endif
