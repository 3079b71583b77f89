// F32: IEEE binary32, as it is. A "block" is one element.
#include "block.h"

static void dequantize(float* out, const void* blocks, size_t count) {
  if (count) memcpy(out, blocks, count * sizeof(float));
}

static void quantize(void* blocks, const float* values, size_t count) {
  if (count) memcpy(blocks, values, count * sizeof(float));
}

const hearth_format hearth_format_f32 = {
    .ggml_type = 0,
    .name = "F32",
    .block_elements = 1,
    .block_bytes = 4,
    .dequantize = dequantize,
    .quantize = quantize,
};
