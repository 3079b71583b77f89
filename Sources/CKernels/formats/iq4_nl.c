// IQ4_NL: 32 elements, 4-bit indices into 16 uneven levels with one scale, 4.5 bits an element.
//
//     value = d · level[q]
#include "block.h"
#include "fit.h"
#include "iq4.h"

typedef struct HEARTH_PACKED {
  uint16_t d;      ///< scale, f16
  uint8_t qs[16];  ///< byte i: element i in the low bits, element i + 16 in the high
} block;
_Static_assert(sizeof(block) == 18, "IQ4_NL block");

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
    for (int i = 0; i < 32; i++) out[i] = d * (float)hearth_iq4_values[q[i]];
  }
}

HEARTH_DEQUANTIZE(expand)

static void quantize(void* blocks, const float* values, size_t count) {
  block* b = blocks;
  for (size_t n = 0; n < count / 32; n++, b++, values += 32) {
    uint8_t q[32];
    b->d = hearth_fit_signed(values, &hearth_iq4_levels, q);
    for (int i = 0; i < 16; i++) b->qs[i] = (uint8_t)(q[i] | q[i + 16] << 4);
  }
}

/// The level + 128, minimum = −128 d; exact.
static void unpack_group(uint8_t q[restrict 32], float scale[2], float minimum[2], const void* row,
                         size_t g) {
  const block* b = (const block*)row + g;
  unpack(q, b);
  for (int i = 0; i < 32; i++) q[i] = (uint8_t)(hearth_iq4_values[q[i]] + 128);
  scale[0] = scale[1] = hearth_f16_to_f32(b->d);
  minimum[0] = minimum[1] = -128 * scale[0];
}

const hearth_format hearth_format_iq4_nl = {
    .ggml_type = 20,
    .name = "IQ4_NL",
    .block_elements = 32,
    .block_bytes = sizeof(block),
    .dequantize = dequantize,
    .quantize = quantize,
    .unpack_group = unpack_group,
    .affine_bits = 8,
    .wide = true,
};
