#ifndef HEARTH_ATTENTION_TRAINING_ROWS_H
#define HEARTH_ATTENTION_TRAINING_ROWS_H

#include "query_tile.h"

// What forward and backward share: where a packed batch's rows are, and a page's worth of keys or values laid out for the
// register tiles.

typedef struct {
  const int32_t* starts;
  size_t sequences, heads, key_value_heads, width;
  float scale;
  bool causal;
} packed_batch;

static inline size_t sequence_length(const packed_batch* b, size_t sequence) {
  return (size_t)(b->starts[sequence + 1] - b->starts[sequence]);
}

/// Where row `row` (position by position, head by head) of a key/value head begins in q, y or their gradients.
static inline size_t query_element(const packed_batch* b, size_t sequence, size_t head, size_t row) {
  size_t group = b->heads / b->key_value_heads;
  size_t token = (size_t)b->starts[sequence] + row / group;
  return (token * b->heads + head * group + row % group) * b->width;
}

/// Where position `position` of a key/value head begins in k, v or their gradients.
static inline size_t key_element(const packed_batch* b, size_t sequence, size_t head,
                                 size_t position) {
  size_t token = (size_t)b->starts[sequence] + position;
  return (token * b->key_value_heads + head) * b->width;
}

/// out [width, PAGE] = transposed `count` rows, `row_step` apart, and zeros.
HEARTH_INLINE void transpose_page(float* out, const float* rows, size_t row_step, size_t count,
                                  size_t width) {
  if (count == PAGE) {
    for (size_t i = 0; i < width; i++)
      for (size_t key = 0; key < PAGE; key++) out[i * PAGE + key] = rows[key * row_step + i];
    return;
  }
  memset(out, 0, width * PAGE * sizeof(float));
  for (size_t key = 0; key < count; key++)
    for (size_t i = 0; i < width; i++) out[i * PAGE + key] = rows[key * row_step + i];
}

/// out [PAGE, padded] = `count` rows, `row_step` apart, and zeros.
HEARTH_INLINE void copy_page(float* out, const float* rows, size_t row_step, size_t count,
                             size_t width) {
  const size_t padded = padded_width(width);
  for (size_t key = 0; key < count; key++)
    copy_scaled(out + key * padded, rows + key * row_step, width, padded, 1);
  memset(out + count * padded, 0, (PAGE - count) * padded * sizeof(float));
}

#endif
