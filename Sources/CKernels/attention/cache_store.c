#include "../formats/half.h"
#include "cache_rows.h"

// Writing keys, transposed, and values into a sequence's pages.

size_t hearth_page_layer_bytes(size_t key_value_heads, size_t head_width, hearth_cache_type type) {
  size_t rows = 2 * key_value_heads * HEARTH_PAGE_TOKENS;
  switch (type) {
    case HEARTH_CACHE_Q8: return rows * (head_width + sizeof(uint16_t));
    case HEARTH_CACHE_F16: return rows * head_width * sizeof(uint16_t);
    default: return rows * head_width * sizeof(float);
  }
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

/// Writes a row as small integers, `step` apart, and their scale.
///
/// x = scale * q, scale = max|x| / 127 rounded to f16, q to the nearest, ties to even. A row with an infinity or a NaN gets a
/// scale of NaN, so that every output it reaches is NaN too.
static void store_q8(int8_t* q, size_t step, uint16_t* scale, const float* x, size_t width) {
  uint32_t max = 0;
  for (size_t i = 0; i < width; i++) {
    // As integers, magnitudes are ordered as numbers are, infinity next to last and NaN last.
    uint32_t magnitude = hearth_float_bits(x[i]) & 0x7fffffffu;
    max = magnitude > max ? magnitude : max;
  }
  float largest = hearth_float_from_bits(max) / 127;
  *scale = max >= 0x7f800000u ? 0x7e00 : hearth_f32_to_f16(largest < 65504 ? largest : 65504);
  float unit = hearth_f16_to_f32(*scale), inverse = unit > 0 ? 1 / unit : 0;
  const float shift = 12582912;  // added, it leaves no bits for a fraction
  for (size_t i = 0; i < width; i++) {
    float level = max < 0x7f800000u ? x[i] * inverse : 0;
    level = level < 127 ? level : 127;
    level = level > -127 ? level : -127;
    q[i * step] = (int8_t)(int32_t)(level + shift - shift);
  }
}

void hearth_cache_store_head(const cache_layer* layer, const float* k, const float* v,
                             size_t position, size_t head) {
  const size_t head_elements = layer->width * HEARTH_PAGE_TOKENS, slot = position % HEARTH_PAGE_TOKENS;
  char* block = (char*)layer->pages[position / HEARTH_PAGE_TOKENS] + layer->layer_offset;
  size_t keys = head * head_elements + slot;
  size_t values = (layer->heads + head) * head_elements + slot * layer->width;
  if (layer->type == HEARTH_CACHE_Q8) {
    uint16_t* scales = hearth_page_scales(block, layer->heads, layer->width) + slot;
    store_q8((int8_t*)block + keys, HEARTH_PAGE_TOKENS, scales + head * HEARTH_PAGE_TOKENS, k, layer->width);
    store_q8((int8_t*)block + values, 1, scales + (layer->heads + head) * HEARTH_PAGE_TOKENS, v, layer->width);
  } else if (layer->type == HEARTH_CACHE_F16)
    store_f16((uint16_t*)block + keys, (uint16_t*)block + values, k, v, layer->width);
  else
    store_f32((float*)block + keys, (float*)block + values, k, v, layer->width);
}
