#ifndef HEARTH_ATTENTION_QUERY_TILE_H
#define HEARTH_ATTENTION_QUERY_TILE_H

#include <math.h>

#include "../include/attention.h"
#include "../rows/functions.h"
#include "../rows/logarithm.h"
#include "tile_product.h"

// Queries that share keys and values, and the online softmax over one page of keys after the other.
//
// The rows of a key/value head are its queries, position by position and within a position head by
// head: row j is position j / group, head j % group. A row's arithmetic is the same in whatever
// tile it is: scores are one chain of fused multiply-adds over the head's width, a page's largest
// score and sum are taken over its 32 keys in a fixed tree, outputs are one chain over the keys.

#define TILE_ROWS 60
#define TILE_FLOATS 4096
#define PAGE HEARTH_PAGE_TOKENS
#define WIDTH_MAXIMUM HEARTH_HEAD_WIDTH_MAXIMUM

/// The head width in whole vectors.
static inline size_t padded_width(size_t width) {
  return (width + LANE_COUNT - 1) / LANE_COUNT * LANE_COUNT;
}

/// Rows of a tile: a multiple of six, which the register tiles like, as many as fit the first
/// cache.
static inline size_t tile_rows(size_t padded) {
  size_t rows = TILE_FLOATS / padded / 6 * 6;
  return rows < 6 ? 6 : rows > TILE_ROWS ? TILE_ROWS : rows;
}

typedef struct {
  size_t rows, width, padded;
  float q[TILE_FLOATS];  ///< [rows, padded], times the scale
  float y[TILE_FLOATS];  ///< [rows, padded], not yet divided by `sum`
  float largest[TILE_ROWS], sum[TILE_ROWS];
  float scores[TILE_ROWS * PAGE];
} query_tile;

_Static_assert(6 * WIDTH_MAXIMUM <= TILE_FLOATS, "six rows of the widest head fit a tile");

/// Starts a tile of `rows` rows; `q` is still to be filled.
HEARTH_INLINE void query_tile_begin(query_tile* tile, size_t rows, size_t width) {
  tile->rows = rows;
  tile->width = width;
  tile->padded = padded_width(width);
  for (size_t row = 0; row < rows; row++) tile->largest[row] = -INFINITY, tile->sum[row] = 0;
  memset(tile->y, 0, rows * tile->padded * sizeof(float));
}

/// to[i] = scale * from[i], and zeros up to `padded`.
HEARTH_INLINE void copy_scaled(float* to, const float* from, size_t width, size_t padded,
                               float scale) {
  for (size_t i = 0; i < padded; i += LANE_COUNT) {
    size_t rest = i < width ? width - i : 0;
    lanes_store(to + i, lanes_load_first(from + i, rest, 0) * scale);
  }
}

/// Scores of `visible` keys from key `from` of a page on, the others -inf.
HEARTH_INLINE lanes mask_scores(lanes scores, size_t from, size_t visible) {
  if (visible >= from + LANE_COUNT) return scores;
  integer_lanes number = lanes_numbers() + (int32_t)from;
  return number < (int32_t)visible ? scores : (lanes)(-INFINITY);
}

/// A page's keys [width, PAGE] and values (rows of `padded`, `value_row` apart): floats, or halves or bytes where
/// hearth_tile_reads_packed.
typedef struct {
  const float *keys, *values;
  const uint16_t *key_halves, *value_halves;
  const int8_t *key_bytes, *value_bytes;
  const void *next_keys, *next_values;  ///< of the page that will be read next
  size_t value_row;
  /// What each key and each value is still to be multiplied by, [PAGE]; NULL when by nothing.
  const float *key_scales, *value_scales;
} page_view;

/// Sixteen numbers times theirs of `scales` from `at` on.
HEARTH_INLINE lanes scaled(lanes x, const float* scales, size_t at) {
  return scales == NULL ? x : x * lanes_load(scales + at);
}

/// Takes a page into account for rows `first_row`... Row r sees `visible[r]` of it, at least one.
HEARTH_INLINE void query_tile_attend(query_tile* tile, size_t first_row, page_view page,
                                     const size_t* visible) {
  const size_t padded = tile->padded;
  hearth_tile_multiply(&(hearth_tile_product){
      .rows = tile->rows - first_row, .columns = PAGE, .depth = tile->width,
      .a = tile->q + first_row * padded, .a_row = padded, .a_step = 1,
      .b = page.keys, .halves = page.key_halves, .bytes = page.key_bytes, .ahead = page.next_keys,
      .b_row = PAGE,
      .c = tile->scores + first_row * PAGE, .c_row = PAGE});
  size_t seen = 0;
  for (size_t row = first_row; row < tile->rows; row++) {
    float* scores = tile->scores + row * PAGE;
    if (visible[row] > seen) seen = visible[row];
    lanes low = scaled(lanes_load(scores), page.key_scales, 0);
    lanes high = scaled(lanes_load(scores + LANE_COUNT), page.key_scales, LANE_COUNT);
    low = mask_scores(low, 0, visible[row]);
    high = mask_scores(high, LANE_COUNT, visible[row]);
    float largest = lanes_largest(lanes_max(low, high));
    if (!(tile->largest[row] >= largest)) {
      // What was added so far was measured against a smaller score.
      lanes correction = lanes_exp((lanes)(tile->largest[row]) - largest);
      tile->sum[row] *= correction[0];
      float* y = tile->y + row * padded;
      for (size_t i = 0; i < padded; i += LANE_COUNT)
        lanes_store(y + i, lanes_load(y + i) * correction);
      tile->largest[row] = largest;
    }
    low = lanes_exp(low - tile->largest[row]);
    high = lanes_exp(high - tile->largest[row]);
    tile->sum[row] += lanes_sum(low + high);
    lanes_store(scores, scaled(low, page.value_scales, 0));
    lanes_store(scores + LANE_COUNT, scaled(high, page.value_scales, LANE_COUNT));
  }
  hearth_tile_multiply(&(hearth_tile_product){
      .rows = tile->rows - first_row, .columns = padded, .depth = seen,
      .a = tile->scores + first_row * PAGE, .a_row = PAGE, .a_step = 1,
      .b = page.values, .halves = page.value_halves, .bytes = page.value_bytes,
      .ahead = page.next_values, .b_row = page.value_row,
      .c = tile->y + first_row * padded, .c_row = padded, .keep = true});
}

/// Writes a row's output, `width` numbers.
HEARTH_INLINE void query_tile_finish_row(const query_tile* tile, size_t row, float* y) {
  const float* from = tile->y + row * tile->padded;
  for (size_t i = 0; i < tile->width; i += LANE_COUNT)
    lanes_store_first(y + i, lanes_load(from + i) / tile->sum[row], tile->width - i);
}

#endif
