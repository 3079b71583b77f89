#ifndef HEARTH_ATTENTION_CACHE_ROWS_H
#define HEARTH_ATTENTION_CACHE_ROWS_H

#include <string.h>

#include "../include/attention.h"
#include "halves.h"

/// One layer of a sequence's pages.
typedef struct {
  void* const* pages;
  size_t layer_offset;
  hearth_cache_type type;
  size_t heads, width;  ///< of keys and values
} cache_layer;

/// The scales of a page's layer in Q8: of keys [heads, HEARTH_PAGE_TOKENS], then of values.
static inline uint16_t* hearth_page_scales(const void* block, size_t heads, size_t width) {
  return (uint16_t*)((uintptr_t)block + 2 * heads * width * HEARTH_PAGE_TOKENS);
}

/// Writes a key, transposed, and a value of `head`, at `position`.
void hearth_cache_store_head(const cache_layer* layer, const float* k, const float* v,
                             size_t position, size_t head);

#endif
