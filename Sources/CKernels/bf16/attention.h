#ifndef HEARTH_BF16_ATTENTION_H
#define HEARTH_BF16_ATTENTION_H

#include <string.h>

#include "bf16_internal.h"
#include "halves.h"
#include "turn.h"

// Attention in bf16 with lanes along the queries: scores are [keys, 32 queries], so that softmax and its gradient go lane by
// lane, without sums across lanes, and what they write is a panel of the next product as it stands.
//
// The rows of a key/value head in a sequence are its queries, position by position, head by head; 32 of them are a panel.

enum {
  QUERIES = HEARTH_BF16_LANES,  ///< of a panel
  KEYS = 64,                    ///< of a block: softmax is continued at multiples of this
  WIDTH_MAXIMUM = 512,
};

typedef hearth_bf16_attention_arguments arguments;

static inline size_t length_of(const arguments* a, size_t sequence) {
  return (size_t)(a->starts[sequence + 1] - a->starts[sequence]);
}

static inline size_t group_of(const arguments* a) { return a->heads / a->key_value_heads; }

static inline size_t panels_of(const arguments* a, size_t sequence) {
  return (length_of(a, sequence) * group_of(a) + QUERIES - 1) / QUERIES;
}

/// The first panel with a query that somebody wants; as many as there are when nobody wants any.
static inline size_t first_panel_of(const arguments* a, size_t sequence) {
  if (a->first_queries == NULL) return 0;
  const size_t first = (size_t)a->first_queries[sequence];
  return first < length_of(a, sequence) ? first * group_of(a) / QUERIES : panels_of(a, sequence);
}

/// Where query `row` of a key/value head is, in q and the like, or, of `ld` heads, in log_sum.
static inline size_t query_at(const arguments* a, size_t sequence, size_t head, size_t row, size_t ld, size_t width) {
  size_t group = group_of(a);
  return ((size_t)a->starts[sequence] + row / group) * ld + (head * group + row % group) * width;
}

static inline size_t key_at(const arguments* a, size_t sequence, size_t head, size_t position) {
  return ((size_t)a->starts[sequence] + position) * a->ldk + head * a->head_width;
}

/// An even number.
static inline size_t even(size_t count) { return count + count % 2; }

/// Asks for a row of numbers before it is needed: rows lie far apart, and the processor does not see them coming.
HEARTH_INLINE void prefetch_row(const uint16_t* row, size_t width) {
  for (size_t i = 0; i < width; i += HEARTH_BF16_LANES) __builtin_prefetch(row + i);
}

/// Copies up to 32 queries, [32, even(width)], and cuts the panel [pairs of the width, 32 queries] from them.
HEARTH_INLINE void query_panel(const arguments* a, const uint16_t* from, size_t sequence, size_t head, size_t first,
                               size_t rows, uint16_t* copy, uint16_t* panel) {
  const size_t width = a->head_width, ld = even(width);
  for (size_t row = 0; row < rows; row++)
    prefetch_row(from + query_at(a, sequence, head, first + row, a->ldq, width), width);
  for (size_t row = 0; row < rows; row++) {
    const uint16_t* source = from + query_at(a, sequence, head, first + row, a->ldq, width);
    for (size_t i = 0; i < width; i += LANE_COUNT)
      halves_store_first(copy + row * ld + i, halves_load_first(source + i, width - i), ld - i);
  }
  hearth_operand operand = {.kind = HEARTH_OPERAND_BF16, .data = copy, .ld = ld};
  hearth_bf16_fill(&(hearth_bf16_cut){
      .operand = &operand, .lanes = rows, .depth = width, .width = QUERIES, .out = panel});
}

/// Positions of two times sixteen queries, as numbers.
HEARTH_INLINE integer_lanes positions_of(size_t group, size_t first) {
  integer_lanes rows = lanes_numbers() + (int32_t)first;
  return rows / (int32_t)group;
}

/// Two rows of sixteen numbers become sixteen pairs.
HEARTH_INLINE void store_pairs(uint16_t* to, half_lanes first, half_lanes second) {
  typedef uint16_t pair_lanes __attribute__((ext_vector_type(2 * LANE_COUNT)));
  pair_lanes pairs =
      __builtin_shufflevector(first, second, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9, 25, 10, 26,
                              11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  memcpy(to, &pairs, sizeof pairs);
}

/// Writes [width, 32 queries] sums, each times its query's factor, as rows of queries in bf16.
HEARTH_INLINE void write_queries(const arguments* a, uint16_t* to, size_t sequence, size_t head, size_t first,
                                 size_t rows, const float* sums, const lanes factor[2],
                                 const bool native) {
  const size_t width = a->head_width;
  for (size_t v = 0; v < 2; v++)
    for (size_t i = 0; i < width; i += 16) {
      half_lanes x[16];
      for (size_t j = 0; j < 16; j++)
        x[j] = i + j < width ? lanes_rounded(lanes_load(sums + (i + j) * QUERIES + v * LANE_COUNT) * factor[v], native)
                             : (half_lanes)(0);
      turn_sixteen(x);
      for (size_t j = 0; j < 16 && v * LANE_COUNT + j < rows; j++)
        halves_store_first(to + query_at(a, sequence, head, first + v * LANE_COUNT + j, a->ldq, width) + i, x[j],
                           width - i);
    }
}

#endif
