#include "cache_rows.h"

// Writing keys, transposed, and values into a sequence's pages.

size_t hearth_page_layer_bytes(size_t key_value_heads, size_t head_width, hearth_cache_type type) {
  return 2 * key_value_heads * head_width * HEARTH_PAGE_TOKENS * (type == HEARTH_CACHE_F16 ? 2 : 4);
}

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

void hearth_cache_store_head(const cache_layer* layer, const float* k, const float* v,
                             size_t position, size_t head) {
  const size_t head_elements = layer->width * HEARTH_PAGE_TOKENS, slot = position % HEARTH_PAGE_TOKENS;
  char* block = (char*)layer->pages[position / HEARTH_PAGE_TOKENS] + layer->layer_offset;
  size_t keys = head * head_elements + slot;
  size_t values = (layer->heads + head) * head_elements + slot * layer->width;
  if (layer->type == HEARTH_CACHE_F16)
    store_f16((uint16_t*)block + keys, (uint16_t*)block + values, k, v, layer->width);
  else
    store_f32((float*)block + keys, (float*)block + values, k, v, layer->width);
}
