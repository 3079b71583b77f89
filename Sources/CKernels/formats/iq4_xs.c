// IQ4_XS: 256 elements in 8 sub-blocks of 32, 4-bit indices of 16 uneven levels, 4.25 bits each.
//
//     value = (d · (scale − 32)) · level[q]      scale: 6 bits a sub-block
#include "block.h"
#include "fit.h"
#include "iq4.h"

typedef struct HEARTH_PACKED {
  uint16_t d;           ///< f16
  uint16_t scales_h;    ///< the high two bits of scale s at bits 2s
  uint8_t scales_l[4];  ///< the low four bits of scale s in byte s / 2, low half first
  uint8_t qs[128];      ///< byte 16s + i: element 32s + i in the low bits, 32s + 16 + i in the high
} block;
_Static_assert(sizeof(block) == 136, "IQ4_XS block");

HEARTH_BODY int scale_at(const block* b, int s) {
  int low = b->scales_l[s / 2] >> (s % 2 * 4) & 15;
  return (low | (b->scales_h >> (2 * s) & 3) << 4) - 32;
}

/// The levels of elements 32 part ..< 32 part + 32.
HEARTH_BODY void unpack(uint8_t q[restrict 32], const block* b, int part) {
  const uint8_t* qs = b->qs + 16 * part;
  for (int i = 0; i < 16; i++) q[i] = qs[i] & 15;
  for (int i = 0; i < 16; i++) q[i + 16] = qs[i] >> 4;
}

HEARTH_BODY void expand(float* restrict out, const void* restrict blocks, size_t count) {
  const block* b = blocks;
  HEARTH_BLOCK_BY_BLOCK
  for (size_t n = 0; n < count / HEARTH_SUPER; n++, b++) {
    float d = hearth_f16_to_f32(b->d);
    HEARTH_UNROLL
    for (int part = 0; part < 8; part++, out += 32) {
      uint8_t q[32];
      unpack(q, b, part);
      float scale = d * (float)scale_at(b, part);
      for (int i = 0; i < 32; i++) out[i] = scale * (float)hearth_iq4_values[q[i]];
    }
  }
}

HEARTH_DEQUANTIZE(expand)

static void quantize(void* blocks, const float* values, size_t count) {
  block* b = blocks;
  for (size_t n = 0; n < count / HEARTH_SUPER; n++, b++, values += HEARTH_SUPER) {
    uint8_t q[HEARTH_SUPER];
    int8_t scales[8];
    memset(b, 0, sizeof *b);
    b->d = hearth_fit_signed_super(values, &hearth_iq4_levels, 32, -32, 31, scales, q);
    for (int s = 0; s < 8; s++) {
      int scale = scales[s] + 32;
      b->scales_l[s / 2] |= (uint8_t)((scale & 15) << (s % 2 * 4));
      b->scales_h |= (uint16_t)((scale >> 4) << (2 * s));
      for (int i = 0; i < 16; i++)
        b->qs[16 * s + i] = (uint8_t)(q[32 * s + i] | q[32 * s + 16 + i] << 4);
    }
  }
}

/// The level + 128, minimum = −128 scale; exact.
static void unpack_group(uint8_t q[restrict 32], float scale[2], float minimum[2], const void* row,
                         size_t g) {
  const block* b = (const block*)row + g / 8;
  int part = (int)(g % 8);
  unpack(q, b, part);
  for (int i = 0; i < 32; i++) q[i] = (uint8_t)(hearth_iq4_values[q[i]] + 128);
  scale[0] = scale[1] = hearth_f16_to_f32(b->d) * (float)scale_at(b, part);
  minimum[0] = minimum[1] = -128 * scale[0];
}

const hearth_format hearth_format_iq4_xs = {
    .ggml_type = 23,
    .name = "IQ4_XS",
    .block_elements = HEARTH_SUPER,
    .block_bytes = sizeof(block),
    .dequantize = dequantize,
    .quantize = quantize,
    .unpack_group = unpack_group,
    .affine_bits = 8,
    .wide = true,
};
