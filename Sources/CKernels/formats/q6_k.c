// Q6_K: 256 elements in 16 sub-blocks of 16, 6-bit levels around zero, 6.5625 bits an element.
//
//     value = (d · scale) · (q − 32)      scale: int8 a sub-block
#include "block.h"
#include "fit.h"

typedef struct HEARTH_PACKED {
  uint8_t ql[128];    ///< low four bits: byte 64h + l has those of 128h + l, then of 128h + 64 + l
  uint8_t qh[64];     ///< high bits: byte 32h + l has those of 128h + 32j + l at bits 2j, j < 4
  int8_t scales[16];  ///< a sub-block each
  uint16_t d;         ///< f16
} block;
_Static_assert(sizeof(block) == 210, "Q6_K block");

/// The levels of elements 32 part ..< 32 part + 32.
HEARTH_BODY void unpack(uint8_t q[restrict 32], const block* b, int part) {
  const uint8_t* low = b->ql + part / 4 * 64 + part % 2 * 32;
  const uint8_t* high = b->qh + part / 4 * 32;
  for (int i = 0; i < 32; i++)
    q[i] = (uint8_t)((low[i] >> (part / 2 % 2 * 4) & 15) | (high[i] >> (part % 4 * 2) & 3) << 4);
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
      for (int h = 0; h < 2; h++) {
        float scale = d * (float)b->scales[2 * part + h];
        for (int i = 0; i < 16; i++) out[16 * h + i] = scale * (float)(q[16 * h + i] - 32);
      }
    }
  }
}

HEARTH_DEQUANTIZE(expand)

static void quantize(void* blocks, const float* values, size_t count) {
  static const hearth_levels levels = {.low = -32, .high = 31};
  block* b = blocks;
  for (size_t n = 0; n < count / HEARTH_SUPER; n++, b++, values += HEARTH_SUPER) {
    uint8_t q[HEARTH_SUPER];
    int8_t scales[16];
    memset(b, 0, sizeof *b);
    b->d = hearth_fit_signed_super(values, &levels, 16, -128, 127, scales, q);
    memcpy(b->scales, scales, sizeof scales);
    for (int i = 0; i < HEARTH_SUPER; i++) {
      b->ql[i / 128 * 64 + i % 64] |= (uint8_t)((q[i] & 15) << (i / 64 % 2 * 4));
      b->qh[i / 128 * 32 + i % 32] |= (uint8_t)((q[i] >> 4) << (i / 32 % 4 * 2));
    }
  }
}

/// minimum = −32 scale; exact.
static void unpack_group(uint8_t q[restrict 32], float scale[2], float minimum[2], const void* row,
                         size_t g) {
  const block* b = (const block*)row + g / 8;
  int part = (int)(g % 8);
  unpack(q, b, part);
  for (int h = 0; h < 2; h++) {
    scale[h] = hearth_f16_to_f32(b->d) * (float)b->scales[2 * part + h];
    minimum[h] = -32 * scale[h];
  }
}

const hearth_format hearth_format_q6_k = {
    .ggml_type = 14,
    .name = "Q6_K",
    .block_elements = HEARTH_SUPER,
    .block_bytes = sizeof(block),
    .dequantize = dequantize,
    .quantize = quantize,
    .unpack_group = unpack_group,
    .affine_bits = 8,
    .wide = false,
};
