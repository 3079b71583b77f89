// BF16: bfloat16, the upper half of a binary32. A "block" is one element.
#include "block.h"

HEARTH_BODY void widen(float* restrict out, const void* restrict blocks, size_t count) {
  const uint8_t* bytes = blocks;
  for (size_t i = 0; i < count; i++) {
    uint16_t half;
    memcpy(&half, bytes + 2 * i, sizeof half);
    out[i] = hearth_bf16_to_f32(half);
  }
}

HEARTH_DEQUANTIZE(widen)

static void quantize(void* blocks, const float* values, size_t count) {
  uint8_t* bytes = blocks;
  for (size_t i = 0; i < count; i++) {
    uint16_t half = hearth_f32_to_bf16(values[i]);
    memcpy(bytes + 2 * i, &half, sizeof half);
  }
}

const hearth_format hearth_format_bf16 = {
    .ggml_type = 30,
    .name = "BF16",
    .block_elements = 1,
    .block_bytes = 2,
    .dequantize = dequantize,
    .quantize = quantize,
};
