#include "integers.h"

#include "../affine/affine_internal.h"
#include "halves.h"

// Integer products among those in bf16: the kernels that serve, on rows that are quantised as serving quantises them.

void hearth_bf16_integer_sums(const hearth_bf16_term* term, size_t first, size_t rows, size_t lane, size_t lanes,
                              size_t width, float* sums) {
  const hearth_affine* matrix = term->integer;
  const size_t stride = (size_t)term->quantized_terms * matrix->blocks, panel = lane / HEARTH_PANEL_ROWS;
  // The kernels write nothing beyond the last row of a matrix.
  if (lanes < width) memset(sums, 0, rows * width * sizeof *sums);
  hearth_affine part = *matrix;
  part.data += panel * matrix->blocks * matrix->block_bytes;
  part.terms = term->integer_terms;
  part.rows = lanes;
  part.panels = (lanes + HEARTH_PANEL_ROWS - 1) / HEARTH_PANEL_ROWS;
  hearth_panel_products(
      (hearth_panel_product){.matrix = &part,
                             .panels = part.panels,
                             .tokens = rows,
                             .activations = (const hearth_activation_block*)term->quantized + first * stride,
                             .stride = stride,
                             .y = sums,
                             .ldy = width});
}

typedef struct {
  hearth_activation_block* out;
  const uint16_t* x;
  size_t ldx, rows, blocks, terms;
} quantizing;

HEARTH_INLINE void quantize_task_body(void* context, int index, int count, const bool native) {
  (void)native;
  enum { STRETCH_BLOCKS = 16 };  // few enough to stay in the first-level cache
  const quantizing* q = context;
  const hearth_block_quantizer quantize = hearth_choose_block_quantizer();
  hearth_share share = share_of(q->rows, 1, index, count);
  for (size_t row = share.from; row < share.to; row++) {
    hearth_activation_block* out = q->out + row * q->terms * q->blocks;
    for (size_t b = 0; b < q->blocks; b += STRETCH_BLOCKS) {
      const size_t left = q->blocks - b, blocks = left < STRETCH_BLOCKS ? left : STRETCH_BLOCKS;
      const uint16_t* x = q->x + row * q->ldx + b * HEARTH_BLOCK_COLUMNS;
      float values[STRETCH_BLOCKS * HEARTH_BLOCK_COLUMNS];
      for (size_t i = 0; i < blocks * HEARTH_BLOCK_COLUMNS; i += LANE_COUNT)
        lanes_store(values + i, lanes_widened(halves_load_first(x + i, LANE_COUNT)));
      quantize(out + b, q->terms == 2 ? out + q->blocks + b : NULL, values, blocks);
    }
  }
}
HEARTH_BF16_KERNEL(quantize_task)

void hearth_bf16_quantize(hearth_pool* pool, void* out, const uint16_t* x, size_t ldx, size_t rows, size_t columns,
                          int terms) {
  quantizing q = {out, x, ldx, rows, columns / HEARTH_BLOCK_COLUMNS, (size_t)terms};
  hearth_pool_run(pool_for(pool, rows * columns), quantize_task, &q);
}
