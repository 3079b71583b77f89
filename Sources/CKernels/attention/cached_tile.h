#ifndef HEARTH_ATTENTION_CACHED_TILE_H
#define HEARTH_ATTENTION_CACHED_TILE_H

#include "cache_rows.h"
#include "query_tile.h"

// A tile of the rows of one key/value head in one run, over the pages of its sequence.

static inline size_t group_of(const hearth_cached_layer* c) { return c->heads / c->key_value_heads; }

/// Tiles of the rows of one key/value head of a run.
static inline size_t tiles_of(const hearth_cached_layer* c, const hearth_query_run* run) {
  size_t tile = tile_rows(padded_width(c->head_width));
  return (run->count * group_of(c) + tile - 1) / tile;
}

/// Numbers of a page from `from` on as floats.
static inline void widen_numbers(float* out, const char* block, size_t from, size_t count,
                                 hearth_cache_type type) {
  if (type == HEARTH_CACHE_F16)
    hearth_widen_halves(out, (const uint16_t*)(const void*)block + from, count);
  else if (type == HEARTH_CACHE_F32)
    memcpy(out, (const float*)(const void*)block + from, count * sizeof *out);
  else
    for (size_t i = 0; i < count; i++) out[i] = ((const int8_t*)block)[from + i];
}

/// `rows` rows of `width` numbers of a page as floats, rows `padded` apart: the page itself when it
/// is that already, else a copy in `scratch`.
static const float* page_floats(float* scratch, const char* block, size_t element, size_t rows,
                                size_t width, size_t padded, hearth_cache_type type) {
  if (width == padded) {
    if (type == HEARTH_CACHE_F32) return (const float*)(const void*)block + element;
    widen_numbers(scratch, block, element, rows * width, type);
    return scratch;
  }
  for (size_t row = 0; row < rows; row++) {
    widen_numbers(scratch + row * padded, block, element + row * width, width, type);
    memset(scratch + row * padded + width, 0, (padded - width) * sizeof(float));
  }
  return scratch;
}

/// Where a head's keys and values lie in a page.
typedef struct {
  const char *keys, *values;
} head_page;

static inline head_page head_in_page(const hearth_cached_layer* c, const hearth_query_run* run, size_t page, size_t head) {
  const size_t element = c->type == HEARTH_CACHE_F32 ? 4 : c->type == HEARTH_CACHE_F16 ? 2 : 1;
  const size_t bytes = c->head_width * PAGE * element;
  const char* keys = (const char*)run->pages[page] + c->layer_offset + head * bytes;
  return (head_page){keys, keys + c->key_value_heads * bytes};
}

/// `after` is asked for while the last page is read.
HEARTH_INLINE void attend_unit(const hearth_cached_layer* c, const hearth_query_run* run, size_t head,
                               size_t first_row, size_t rows, head_page after) {
  const size_t group = group_of(c);
  const size_t width = c->head_width, padded = padded_width(width);
  query_tile tile;
  const bool in_place =
      c->type != HEARTH_CACHE_F32 && width == padded && hearth_tile_reads_packed(rows);
  float scratch[2 * PAGE * WIDTH_MAXIMUM];
  query_tile_begin(&tile, rows, width);
  for (size_t row = 0; row < rows; row++) {
    size_t j = first_row + row;
    const float* q = run->q + j / group * c->ldq + (head * group + j % group) * width;
    copy_scaled(tile.q + row * padded, q, width, padded, c->scale);
  }
  const size_t first = run->first + first_row / group;
  const size_t last = run->first + (first_row + rows - 1) / group;
  for (size_t page = 0; page <= last / PAGE; page++) {
    const size_t start = page * PAGE;
    // Rows before the page see nothing of it.
    size_t from = start > first ? (start - run->first) * group - first_row : 0;
    size_t visible[TILE_ROWS];
    for (size_t row = from; row < rows; row++) {
      size_t sees = run->first + (first_row + row) / group - start + 1;
      visible[row] = sees < PAGE ? sees : PAGE;
    }
    const char* block = (const char*)run->pages[page] + c->layer_offset;
    const size_t head_elements = width * PAGE;
    const size_t key_block = head * head_elements, value_block = (c->key_value_heads + head) * head_elements;
    page_view view = {.value_row = padded};
    float scales[2 * PAGE];
    if (c->type == HEARTH_CACHE_Q8) {
      const uint16_t* halves = hearth_page_scales(block, c->key_value_heads, width);
      hearth_widen_halves(scales, halves + head * PAGE, PAGE);
      hearth_widen_halves(scales + PAGE, halves + (c->key_value_heads + head) * PAGE, PAGE);
      view.key_scales = scales;
      view.value_scales = scales + PAGE;
    }
    if (in_place && c->type == HEARTH_CACHE_F16) {
      view.key_halves = (const uint16_t*)(const void*)block + key_block;
      view.value_halves = (const uint16_t*)(const void*)block + value_block;
    } else if (in_place) {
      view.key_bytes = (const int8_t*)block + key_block;
      view.value_bytes = (const int8_t*)block + value_block;
    } else {
      view.keys = page_floats(scratch, block, key_block, width, PAGE, PAGE, c->type);
      view.values = page_floats(scratch + PAGE * width, block, value_block, visible[rows - 1], width,
                                padded, c->type);
    }
    if (in_place) {
      head_page next = page < last / PAGE ? head_in_page(c, run, page + 1, head) : after;
      view.next_keys = next.keys;
      view.next_values = next.values;
    }
    query_tile_attend(&tile, from, view, visible);
  }
  for (size_t row = 0; row < rows; row++) {
    size_t j = first_row + row;
    float* y = run->y + j / group * c->ldy + (head * group + j % group) * width;
    query_tile_finish_row(&tile, row, y);
  }
}

#endif
