#include <math.h>

#include "affine_internal.h"

void hearth_panel_product_scalar(const hearth_panel_product* p) {
  const hearth_affine* matrix = p->matrix;
  size_t top = p->panel * HEARTH_PANEL_ROWS, part_columns = HEARTH_BLOCK_COLUMNS / matrix->parts;
  for (size_t r = 0; r < HEARTH_PANEL_ROWS && top + r < matrix->rows; r++) {
    for (size_t t = p->first; t < p->first + p->tokens; t++) {
      const uint8_t* block = hearth_affine_panel(matrix, p->panel);
      const hearth_activation_block* first = p->activations + t * p->stride;
      float total = 0;
      for (size_t b = 0; b < matrix->blocks; b++, first++, block += matrix->block_bytes) {
        const hearth_activation_block* a = matrix->terms == 1 ? first : first + matrix->blocks;
        uint8_t q[HEARTH_BLOCK_COLUMNS];
        hearth_affine_unpack_row(matrix, block, r, q);
        for (size_t part = 0; part < matrix->parts; part++) {
          int32_t dot = 0;
          for (size_t i = part * part_columns; i < (part + 1) * part_columns; i++)
            dot += (int32_t)q[i] * (matrix->terms == 1 ? a->q[i] : first->q[i] * 256 + a->q[i]);
          float scale = hearth_affine_factor(matrix, block, 0, part, r) * a->scale;
          float minimum = hearth_affine_factor(matrix, block, 1, part, r);
          total = fmaf(scale, (float)dot, total);
          total = fmaf(minimum, matrix->parts == 1 ? a->sum : a->half_sum[part], total);
        }
      }
      p->y[t * p->ldy + top + r] = total;
    }
  }
}
