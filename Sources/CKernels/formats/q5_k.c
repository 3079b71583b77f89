// Q5_K: 256 elements in 8 sub-blocks of 32, 5-bit levels, 5.5 bits an element.
//
//     value = (d · scale) · q − (dmin · minimum)      scale, minimum: 6 bits a sub-block
#include "block.h"
#include "fit.h"
#include "k_scales.h"

typedef struct HEARTH_PACKED {
  uint16_t d, dmin;    ///< f16
  uint8_t scales[12];  ///< see k_scales.h
  uint8_t qh[32];      ///< byte l has the fifth bits of elements 32j + l at bits j, j < 8
  uint8_t qs[128];     ///< byte 32c + l: element 64c + l in the low bits, 64c + 32 + l in the high
} block;
_Static_assert(sizeof(block) == 176, "Q5_K block");

/// The levels of elements 32 part ..< 32 part + 32.
HEARTH_BODY void unpack(uint8_t q[restrict 32], const block* b, int part) {
  const uint8_t* qs = b->qs + part / 2 * 32;
  for (int i = 0; i < 32; i++)
    q[i] = (uint8_t)((qs[i] >> (part % 2 * 4) & 15) | (b->qh[i] >> part & 1) << 4);
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
      float scale = d * (float)hearth_k_scale(b->scales, part);
      float minimum = dmin * (float)hearth_k_minimum(b->scales, part);
      for (int i = 0; i < 32; i++) out[i] = scale * (float)q[i] - minimum;
    }
  }
}

HEARTH_DEQUANTIZE(expand)

static void quantize(void* blocks, const float* values, size_t count) {
  block* b = blocks;
  for (size_t n = 0; n < count / HEARTH_SUPER; n++, b++, values += HEARTH_SUPER) {
    uint8_t q[HEARTH_SUPER], scales[8], minimums[8];
    uint16_t d, dmin;
    hearth_fit_affine_super(values, 32, 31, 63, &d, &dmin, scales, minimums, q);
    memset(b, 0, sizeof *b);
    b->d = d;
    b->dmin = dmin;
    hearth_k_pack(b->scales, scales, minimums);
    for (int i = 0; i < HEARTH_SUPER; i++) {
      b->qs[i / 64 * 32 + i % 32] |= (uint8_t)((q[i] & 15) << (i / 32 % 2 * 4));
      b->qh[i % 32] |= (uint8_t)((q[i] >> 4) << (i / 32));
    }
  }
}

static void unpack_group(uint8_t q[restrict 32], float scale[2], float minimum[2], const void* row,
                         size_t g) {
  const block* b = (const block*)row + g / 8;
  int part = (int)(g % 8);
  unpack(q, b, part);
  scale[0] = scale[1] = hearth_f16_to_f32(b->d) * (float)hearth_k_scale(b->scales, part);
  minimum[0] = minimum[1] =
      -(hearth_f16_to_f32(b->dmin) * (float)hearth_k_minimum(b->scales, part));
}

const hearth_format hearth_format_q5_k = {
    .ggml_type = 13,
    .name = "Q5_K",
    .block_elements = HEARTH_SUPER,
    .block_bytes = sizeof(block),
    .dequantize = dequantize,
    .quantize = quantize,
    .unpack_group = unpack_group,
    .affine_bits = 8,
    .wide = true,
};
