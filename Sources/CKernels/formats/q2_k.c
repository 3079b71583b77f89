// Q2_K: 256 elements in 16 sub-blocks of 16, 2-bit levels, 2.625 bits an element.
//
//     value = (d · scale) · q − (dmin · minimum)      scale, minimum: 4 bits a sub-block
#include "block.h"
#include "fit.h"

typedef struct HEARTH_PACKED {
  uint8_t scales[16];  ///< sub-block's scale in the low bits, its minimum in the high
  uint8_t qs[64];      ///< byte 32h + l has elements 128h + 32j + l at bits 2j, j < 4
  uint16_t d, dmin;    ///< f16
} block;
_Static_assert(sizeof(block) == 84, "Q2_K block");

/// The levels of elements 32 part ..< 32 part + 32.
HEARTH_BODY void unpack(uint8_t q[restrict 32], const block* b, int part) {
  const uint8_t* qs = b->qs + part / 4 * 32;
  for (int i = 0; i < 32; i++) q[i] = qs[i] >> (part % 4 * 2) & 3;
}

HEARTH_BODY void expand(float* restrict out, const void* restrict blocks, size_t count) {
  const block* b = blocks;
  HEARTH_BLOCK_BY_BLOCK
  for (size_t n = 0; n < count / HEARTH_SUPER; n++, b++) {
    float d = hearth_f16_to_f32(b->d), dmin = hearth_f16_to_f32(b->dmin);
    HEARTH_UNROLL
    for (int part = 0; part < 8; part++, out += 32) {
      uint8_t q[32];
      unpack(q, b, part);
      for (int h = 0; h < 2; h++) {
        uint8_t packed = b->scales[2 * part + h];
        float scale = d * (float)(packed & 15), minimum = dmin * (float)(packed >> 4);
        for (int i = 0; i < 16; i++) out[16 * h + i] = scale * (float)q[16 * h + i] - minimum;
      }
    }
  }
}

HEARTH_DEQUANTIZE(expand)

static void quantize(void* blocks, const float* values, size_t count) {
  block* b = blocks;
  for (size_t n = 0; n < count / HEARTH_SUPER; n++, b++, values += HEARTH_SUPER) {
    uint8_t q[HEARTH_SUPER], scales[16], minimums[16];
    uint16_t d, dmin;
    hearth_fit_affine_super(values, 16, 3, 15, &d, &dmin, scales, minimums, q);
    b->d = d;
    b->dmin = dmin;
    for (int s = 0; s < 16; s++) b->scales[s] = (uint8_t)(scales[s] | minimums[s] << 4);
    for (int h = 0; h < 2; h++)
      for (int l = 0; l < 32; l++) {
        const uint8_t* e = q + 128 * h + l;
        b->qs[32 * h + l] = (uint8_t)(e[0] | e[32] << 2 | e[64] << 4 | e[96] << 6);
      }
  }
}

static void unpack_group(uint8_t q[restrict 32], float scale[2], float minimum[2], const void* row,
                         size_t g) {
  const block* b = (const block*)row + g / 8;
  int part = (int)(g % 8);
  unpack(q, b, part);
  for (int h = 0; h < 2; h++) {
    uint8_t packed = b->scales[2 * part + h];
    scale[h] = hearth_f16_to_f32(b->d) * (float)(packed & 15);
    minimum[h] = -(hearth_f16_to_f32(b->dmin) * (float)(packed >> 4));
  }
}

const hearth_format hearth_format_q2_k = {
    .ggml_type = 10,
    .name = "Q2_K",
    .block_elements = HEARTH_SUPER,
    .block_bytes = sizeof(block),
    .dequantize = dequantize,
    .quantize = quantize,
    .unpack_group = unpack_group,
    .affine_bits = 4,
    .wide = false,
};
