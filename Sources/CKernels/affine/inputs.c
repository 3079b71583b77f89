#include "inputs.h"

#include "../rows/row_functions.h"

// Rows on their way into a product: normalised or gated block by block, and quantised at once, so that what a
// separate operator would write and read again never leaves the registers. Element for element these are the operations of
// elementwise.h, so fused and separate give the same bits.

/// Blocks that are normalised or gated before they are quantised: few enough to stay in the first cache.
enum { STRETCH_BLOCKS = 16 };

/// Normalises or gates `count` columns from `first` on.
HEARTH_INLINE void compute_columns(const hearth_projection_input* in, size_t t, float reciprocal, size_t first,
                                   size_t count, float* out) {
  const float* x = in->x + t * in->ldx + first;
  for (size_t i = 0; i < count; i += LANE_COUNT) {
    lanes value = lanes_load(x + i);
    if (in->kind == HEARTH_INPUT_RMS_NORM)
      value = lanes_load(in->weight + first + i) * (value * reciprocal);
    else
      value = lanes_swiglu(value, lanes_load(in->up + t * in->ldx + first + i));
    lanes_store(out + i, value);
  }
}

HEARTH_INLINE void prepare_row(const hearth_prepared_rows* rows, hearth_block_quantizer quantize,
                               size_t t) {
  const hearth_projection_input* in = rows->input;
  const float* x = in->x + t * in->ldx;
  hearth_activation_block* out = rows->out + t * rows->terms * rows->blocks;
  hearth_activation_block* seconds = rows->terms == 2 ? out + rows->blocks : NULL;
  if (in->kind == HEARTH_INPUT_PLAIN) {
    quantize(out, seconds, x, rows->blocks);
    return;
  }
  const bool norm = in->kind == HEARTH_INPUT_RMS_NORM;
  float r = norm ? rms_reciprocal(x, rows->blocks * HEARTH_BLOCK_COLUMNS, in->epsilon) : 0;
  for (size_t b = 0; b < rows->blocks; b += STRETCH_BLOCKS) {
    size_t left = rows->blocks - b, count = left < STRETCH_BLOCKS ? left : STRETCH_BLOCKS;
    float values[STRETCH_BLOCKS * HEARTH_BLOCK_COLUMNS];
    compute_columns(in, t, r, b * HEARTH_BLOCK_COLUMNS, count * HEARTH_BLOCK_COLUMNS, values);
    quantize(out + b, seconds == NULL ? NULL : seconds + b, values, count);
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
