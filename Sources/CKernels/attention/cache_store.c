#include <string.h>

#include "../include/attention.h"
#include "../rows/lanes.h"
#include "halves.h"

// Writing keys, transposed, and values into a sequence's pages.

size_t hearth_page_layer_bytes(size_t key_value_heads, size_t head_width, hearth_cache_type type) {
  return 2 * key_value_heads * head_width * HEARTH_PAGE_TOKENS * (type == HEARTH_CACHE_F16 ? 2 : 4);
}

typedef struct {
  void* const* pages;
  size_t layer_offset;
  hearth_cache_type type;
  const float *k, *v;
  size_t ld, first, count, heads, width;
} store;

/// Numbers narrowed at a time.
#define CHUNK 64

static void store_f32(float* keys, float* values, const float* k, const float* v, size_t width) {
  for (size_t i = 0; i < width; i++) keys[i * HEARTH_PAGE_TOKENS] = k[i];
  memcpy(values, v, width * sizeof(float));
}

static void store_f16(uint16_t* keys, uint16_t* values, const float* k, const float* v,
                      size_t width) {
  for (size_t from = 0; from < width; from += CHUNK) {
    uint16_t halves[CHUNK];
    size_t here = width - from < CHUNK ? width - from : CHUNK;
    hearth_narrow_to_halves(halves, k + from, here);
    for (size_t i = 0; i < here; i++) keys[(from + i) * HEARTH_PAGE_TOKENS] = halves[i];
  }
  hearth_narrow_to_halves(values, v, width);
}

static void store_task(void* context, int index, int count) {
  const store* s = context;
  const size_t head_elements = s->width * HEARTH_PAGE_TOKENS;
  // Workers share the pages out, not the tokens: no two of them write to one cache line.
  size_t first_page = s->first / HEARTH_PAGE_TOKENS;
  size_t pages = (s->first + s->count - 1) / HEARTH_PAGE_TOKENS - first_page + 1;
  hearth_share share = share_of(pages, 1, index, count);
  for (size_t i = 0; i < s->count; i++) {
    size_t page = (s->first + i) / HEARTH_PAGE_TOKENS, slot = (s->first + i) % HEARTH_PAGE_TOKENS;
    if (page - first_page < share.from || page - first_page >= share.to) continue;
    char* block = (char*)s->pages[page] + s->layer_offset;
    for (size_t head = 0; head < s->heads; head++) {
      const float *k = s->k + i * s->ld + head * s->width, *v = s->v + i * s->ld + head * s->width;
      size_t keys = head * head_elements + slot;
      size_t values = (s->heads + head) * head_elements + slot * s->width;
      if (s->type == HEARTH_CACHE_F16)
        store_f16((uint16_t*)block + keys, (uint16_t*)block + values, k, v, s->width);
      else
        store_f32((float*)block + keys, (float*)block + values, k, v, s->width);
    }
  }
}

void hearth_cache_store(hearth_pool* pool, void* const* pages, size_t layer_offset,
                        hearth_cache_type type, const float* k, const float* v, size_t ld,
                        size_t first, size_t count, size_t key_value_heads, size_t head_width) {
  if (count == 0) return;
  store s = {pages, layer_offset, type, k, v, ld, first, count, key_value_heads, head_width};
  hearth_pool_run(pool_for(pool, count * key_value_heads * head_width), store_task, &s);
}
