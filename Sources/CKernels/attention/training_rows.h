#ifndef HEARTH_ATTENTION_TRAINING_ROWS_H
#define HEARTH_ATTENTION_TRAINING_ROWS_H

#include "query_tile.h"

// What forward and backward share: where a packed batch's rows are, and a page's worth of keys or
// values laid out for the register tiles.

typedef struct {
  const int32_t* starts;
  size_t sequences, heads, key_value_heads, width;
  float scale;
  bool causal;
} packed_batch;

static inline size_t sequence_length(const packed_batch* b, size_t sequence) {
  return (size_t)(b->starts[sequence + 1] - b->starts[sequence]);
}

/// Where row `row` (position by position, head by head) of a key/value head begins in q, y or their
/// gradients.
static inline size_t query_element(const packed_batch* b, size_t sequence, size_t head,
                                   size_t row) {
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

/// Eight rows of eight, `row_step` apart, turned: out[i * out_step + j] = rows[j * row_step + i].
HEARTH_INLINE void transpose_eight(float* out, size_t out_step, const float* rows,
                                   size_t row_step) {
  typedef float eight __attribute__((ext_vector_type(8)));
  eight r[8], pairs[8], quads[8];
  for (size_t j = 0; j < 8; j++) memcpy(&r[j], rows + j * row_step, sizeof(eight));
  // Pairs of rows, then pairs of pairs within each half of four, then the halves.
  for (size_t j = 0; j < 4; j++) {
    pairs[j] = __builtin_shufflevector(r[2 * j], r[2 * j + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    pairs[j + 4] = __builtin_shufflevector(r[2 * j], r[2 * j + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (size_t j = 0; j < 8; j += 2) {
    quads[j] = __builtin_shufflevector(pairs[j], pairs[j + 1], 0, 1, 8, 9, 4, 5, 12, 13);
    quads[j + 1] = __builtin_shufflevector(pairs[j], pairs[j + 1], 2, 3, 10, 11, 6, 7, 14, 15);
  }
  // Quads 0, 1, 4, 5 hold rows 0...3 of columns 0, 1, 2, 3 (and 4, 5, 6, 7 above); 2, 3, 6, 7 rows
  // 4...7.
  for (size_t j = 0; j < 4; j++) {
    size_t q = j < 2 ? j : j + 2;
    eight low = __builtin_shufflevector(quads[q], quads[q + 2], 0, 1, 2, 3, 8, 9, 10, 11);
    eight high = __builtin_shufflevector(quads[q], quads[q + 2], 4, 5, 6, 7, 12, 13, 14, 15);
    memcpy(out + j * out_step, &low, sizeof low);
    memcpy(out + (j + 4) * out_step, &high, sizeof high);
  }
}

/// out [width, PAGE] = transposed `count` rows, `row_step` apart, and zeros.
HEARTH_INLINE void transpose_page(float* out, const float* rows, size_t row_step, size_t count,
                                  size_t width) {
  const size_t whole = count == PAGE ? width / 8 * 8 : 0;
  for (size_t i = 0; i < whole; i += 8)
    for (size_t key = 0; key < PAGE; key += 8)
      transpose_eight(out + i * PAGE + key, PAGE, rows + key * row_step + i, row_step);
  if (count < PAGE) memset(out, 0, width * PAGE * sizeof(float));
  for (size_t key = 0; key < count; key++)
    for (size_t i = whole; i < width; i++) out[i * PAGE + key] = rows[key * row_step + i];
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
