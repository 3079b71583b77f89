#include "inputs.h"

#include "../rows/row_functions.h"

// Rows on their way into a product: normalised or gated block by block, and quantised at once, so that what a
// separate operator would write and read again never leaves the registers. Element for element these are the operations of
// elementwise.h, so fused and separate give the same bits.

HEARTH_INLINE void prepare_row(const hearth_prepared_rows* rows, hearth_block_quantizer quantize,
                               size_t t) {
  const hearth_projection_input* in = rows->input;
  const size_t columns = rows->blocks * HEARTH_BLOCK_COLUMNS;
  const float* x = in->x + t * in->ldx;
  hearth_activation_block* out = rows->out + t * rows->terms * rows->blocks;
  float r = in->kind == HEARTH_INPUT_RMS_NORM ? rms_reciprocal(x, columns, in->epsilon) : 0;
  for (size_t b = 0; b < rows->blocks; b++) {
    const size_t first = b * HEARTH_BLOCK_COLUMNS;
    float values[HEARTH_BLOCK_COLUMNS];
    const float* block = x + first;
    if (in->kind != HEARTH_INPUT_PLAIN) {
      for (size_t i = 0; i < HEARTH_BLOCK_COLUMNS; i += LANE_COUNT) {
        lanes value = lanes_load(block + i);
        if (in->kind == HEARTH_INPUT_RMS_NORM)
          value = lanes_load(in->weight + first + i) * (value * r);
        else
          value = lanes_swiglu(value, lanes_load(in->up + t * in->ldx + first + i));
        lanes_store(values + i, value);
      }
      block = values;
    }
    quantize(out + b, rows->terms == 2 ? out + rows->blocks + b : NULL, block);
  }
}

HEARTH_INLINE void prepare_task_body(void* context, int index, int count) {
  const hearth_prepared_rows* rows = context;
  hearth_block_quantizer quantize = hearth_choose_block_quantizer();
  hearth_share share = share_of(rows->tokens, 1, index, count);
  for (size_t t = share.from; t < share.to; t++) prepare_row(rows, quantize, t);
}
HEARTH_KERNEL(prepare_task)

void hearth_prepare_rows(const hearth_prepared_rows* rows, int index, int count) {
  prepare_task((void*)rows, index, count);
}

static void prepare(void* context, int index, int count) {
  hearth_prepare_rows(context, index, count);
}

void hearth_prepare_all_rows(hearth_pool* pool, const hearth_prepared_rows* rows) {
  // Below some microseconds of work, waking others takes longer than doing it.
  bool small = rows->tokens * rows->blocks * HEARTH_BLOCK_COLUMNS < 4096;
  hearth_pool_run(small ? NULL : pool, prepare, (void*)rows);
}

void hearth_quantize_activations(hearth_pool* pool, void* out, const float* x, size_t ldx,
                                 size_t tokens, size_t columns, int terms) {
  hearth_projection_input input = {.kind = HEARTH_INPUT_PLAIN, .x = x, .ldx = ldx};
  hearth_prepare_all_rows(pool, &(hearth_prepared_rows){.input = &input,
                                                        .out = out,
                                                        .tokens = tokens,
                                                        .blocks = columns / HEARTH_BLOCK_COLUMNS,
                                                        .terms = (size_t)terms});
}
