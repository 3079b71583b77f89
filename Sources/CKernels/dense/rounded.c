#include "../bf16/bf16_internal.h"
#include "dense_internal.h"

#include <string.h>

// A panel of bf16 weights times tokens in bf16. The panel lies in memory as products in bf16 want it, so nothing is cut.

_Static_assert(HEARTH_DENSE_ROWS == HEARTH_BF16_LANES, "a panel of the one is a panel of the other");

void hearth_dense_rounded_panel_product(const hearth_dense_product* p) {
  const hearth_dense* matrix = p->matrix;
  _Alignas(64) float totals[HEARTH_DENSE_TOKENS * HEARTH_DENSE_ROWS];
  hearth_bf16_multiply(&(hearth_bf16_tile){
      .a = p->rounded + p->first * p->ldrounded,
      .lda = p->ldrounded,
      .rows = p->tokens,
      .pairs = matrix->columns / 2,
      .panel = (const uint16_t*)(const void*)matrix->data + p->panel * matrix->columns * HEARTH_DENSE_ROWS,
      .lanes = HEARTH_DENSE_ROWS,
      .sums = totals,
      .begins = true});
  const size_t top = p->panel * HEARTH_DENSE_ROWS, left = matrix->rows - top;
  const size_t rows = left < HEARTH_DENSE_ROWS ? left : HEARTH_DENSE_ROWS;
  for (size_t t = 0; t < p->tokens; t++)
    memcpy(p->y + (p->first + t) * p->ldy + top, totals + t * HEARTH_DENSE_ROWS, rows * sizeof *totals);
}
