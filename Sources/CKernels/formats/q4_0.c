// Q4_0: 32 elements, 4-bit levels −8...7 around zero with one scale, 4.5 bits an element.
//
//     value = d · (q − 8)
#include "block.h"
#include "fit.h"

typedef struct HEARTH_PACKED {
  uint16_t d;      ///< scale, f16
  uint8_t qs[16];  ///< byte i: element i in the low bits, element i + 16 in the high
} block;
_Static_assert(sizeof(block) == 18, "Q4_0 block");

HEARTH_BODY void unpack(uint8_t q[restrict 32], const block* b) {
  for (int i = 0; i < 16; i++) q[i] = b->qs[i] & 15;
  for (int i = 0; i < 16; i++) q[i + 16] = b->qs[i] >> 4;
}

HEARTH_BODY void expand(float* restrict out, const void* restrict blocks, size_t count) {
  const block* b = blocks;
  HEARTH_BLOCK_BY_BLOCK
  for (size_t n = 0; n < count / 32; n++, b++, out += 32) {
    float d = hearth_f16_to_f32(b->d);
    uint8_t q[32];
    unpack(q, b);
    for (int i = 0; i < 32; i++) out[i] = d * (float)(q[i] - 8);
  }
}

HEARTH_DEQUANTIZE(expand)

static void quantize(void* blocks, const float* values, size_t count) {
  static const hearth_levels levels = {.low = -8, .high = 7};
  block* b = blocks;
  for (size_t n = 0; n < count / 32; n++, b++, values += 32) {
    uint8_t q[32];
    b->d = hearth_fit_signed(values, &levels, q);
    for (int i = 0; i < 16; i++) b->qs[i] = (uint8_t)(q[i] | q[i + 16] << 4);
  }
}

/// minimum = −8 d; exact.
static void unpack_group(uint8_t q[restrict 32], float scale[2], float minimum[2], const void* row,
                         size_t g) {
  const block* b = (const block*)row + g;
  unpack(q, b);
  scale[0] = scale[1] = hearth_f16_to_f32(b->d);
  minimum[0] = minimum[1] = -8 * scale[0];
}

const hearth_format hearth_format_q4_0 = {
    .ggml_type = 2,
    .name = "Q4_0",
    .block_elements = 32,
    .block_bytes = sizeof(block),
    .dequantize = dequantize,
    .quantize = quantize,
    .unpack_group = unpack_group,
    .affine_bits = 4,
    .wide = true,
};
