// Q8_0: 32 elements, int8 levels with one scale, 8.5 bits an element.
//
//     value = d · q
#include "block.h"
#include "fit.h"

typedef struct HEARTH_PACKED {
  uint16_t d;     ///< scale, f16
  int8_t qs[32];  ///< −127...127; −128 is legal and never written
} block;
_Static_assert(sizeof(block) == 34, "Q8_0 block");

HEARTH_BODY void expand(float* restrict out, const void* restrict blocks, size_t count) {
  const block* b = blocks;
  HEARTH_BLOCK_BY_BLOCK
  for (size_t n = 0; n < count / 32; n++, b++, out += 32) {
    float d = hearth_f16_to_f32(b->d);
    for (int i = 0; i < 32; i++) out[i] = d * (float)b->qs[i];
  }
}

HEARTH_DEQUANTIZE(expand)

/// d = max|x| / 127 and q = x / d to nearest, halves away from zero: the rule every GGUF writer
/// has, so the bytes are theirs. With 255 levels a search gains next to nothing.
static void quantize(void* blocks, const float* values, size_t count) {
  block* b = blocks;
  for (size_t n = 0; n < count / 32; n++, b++, values += 32) {
    float x[32], largest = 0;
    hearth_fit_load(x, values, 32);
    for (int i = 0; i < 32; i++) {
      float magnitude = x[i] < 0 ? -x[i] : x[i];
      largest = magnitude > largest ? magnitude : largest;
    }
    float d = largest / 127;
    d = d < HEARTH_F16_MAX ? d : HEARTH_F16_MAX;
    float inverse = d > 0 ? 1 / d : 0;
    b->d = hearth_f32_to_f16(d);
    for (int i = 0; i < 32; i++) {
      // Below f32's smallest normal d has no finite inverse; the f16 scale is zero then.
      float level = x[i] * inverse;
      level = level > -127 ? level : -127;
      level = level < 127 ? level : 127;
      // Adding 0.5 to 0.49999997 would round up to 1; the remainder is exact.
      int whole = (int)level;
      float rest = level - (float)whole;
      b->qs[i] = (int8_t)(whole + (rest >= 0.5f) - (rest <= -0.5f));
    }
  }
}

/// The level + 128, minimum = −128 d; exact.
static void unpack_group(uint8_t q[restrict 32], float scale[2], float minimum[2], const void* row,
                         size_t g) {
  const block* b = (const block*)row + g;
  for (int i = 0; i < 32; i++) q[i] = (uint8_t)(b->qs[i] + 128);
  scale[0] = scale[1] = hearth_f16_to_f32(b->d);
  minimum[0] = minimum[1] = -128 * scale[0];
}

const hearth_format hearth_format_q8_0 = {
    .ggml_type = 8,
    .name = "Q8_0",
    .block_elements = 32,
    .block_bytes = sizeof(block),
    .dequantize = dequantize,
    .quantize = quantize,
    .unpack_group = unpack_group,
    .affine_bits = 8,
    .wide = true,
};
