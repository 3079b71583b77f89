// Q3_K: 256 elements in 16 sub-blocks of 16, 3-bit levels around zero, 3.4375 bits an element.
//
//     value = (d · (scale − 32)) · (q − 4)      scale: 6 bits a sub-block
#include "block.h"
#include "fit.h"

typedef struct HEARTH_PACKED {
  uint8_t hmask[32];   ///< third bits: byte l has those of elements 32j + l at bits j, j < 8
  uint8_t qs[64];      ///< low bits: byte 32h + l has those of 128h + 32j + l at bits 2j, j < 4
  uint8_t scales[12];  ///< see `scale_at`
  uint16_t d;          ///< f16
} block;
_Static_assert(sizeof(block) == 110, "Q3_K block");

/// Scale `s` of 16. Its low four bits lie in byte s % 8 (low half first), its high two bits in byte
/// 8 + s % 4, at bits 2 (s / 4).
HEARTH_BODY int scale_at(const block* b, int s) {
  int low = b->scales[s % 8] >> (s / 8 * 4) & 15;
  int high = b->scales[8 + s % 4] >> (s / 4 * 2) & 3;
  return (low | high << 4) - 32;
}

/// The levels of elements 32 part ..< 32 part + 32.
HEARTH_BODY void unpack(uint8_t q[restrict 32], const block* b, int part) {
  const uint8_t* qs = b->qs + part / 4 * 32;
  for (int i = 0; i < 32; i++)
    q[i] = (uint8_t)((qs[i] >> (part % 4 * 2) & 3) | (b->hmask[i] >> part & 1) << 2);
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
        float scale = d * (float)scale_at(b, 2 * part + h);
        for (int i = 0; i < 16; i++) out[16 * h + i] = scale * (float)(q[16 * h + i] - 4);
      }
    }
  }
}

HEARTH_DEQUANTIZE(expand)

static void quantize(void* blocks, const float* values, size_t count) {
  static const hearth_levels levels = {.low = -4, .high = 3};
  block* b = blocks;
  for (size_t n = 0; n < count / HEARTH_SUPER; n++, b++, values += HEARTH_SUPER) {
    uint8_t q[HEARTH_SUPER];
    int8_t scales[16];
    memset(b, 0, sizeof *b);
    b->d = hearth_fit_signed_super(values, &levels, 16, -32, 31, scales, q);
    for (int s = 0; s < 16; s++) {
      int scale = scales[s] + 32;
      b->scales[s % 8] |= (uint8_t)((scale & 15) << (s / 8 * 4));
      b->scales[8 + s % 4] |= (uint8_t)((scale >> 4) << (s / 4 * 2));
    }
    for (int i = 0; i < HEARTH_SUPER; i++) {
      b->qs[i / 128 * 32 + i % 32] |= (uint8_t)((q[i] & 3) << (i / 32 % 4 * 2));
      b->hmask[i % 32] |= (uint8_t)((q[i] >> 2) << (i / 32));
    }
  }
}

/// minimum = −4 scale; exact.
static void unpack_group(uint8_t q[restrict 32], float scale[2], float minimum[2], const void* row,
                         size_t g) {
  const block* b = (const block*)row + g / 8;
  int part = (int)(g % 8);
  unpack(q, b, part);
  for (int h = 0; h < 2; h++) {
    scale[h] = hearth_f16_to_f32(b->d) * (float)scale_at(b, 2 * part + h);
    minimum[h] = -4 * scale[h];
  }
}

const hearth_format hearth_format_q3_k = {
    .ggml_type = 11,
    .name = "Q3_K",
    .block_elements = HEARTH_SUPER,
    .block_bytes = sizeof(block),
    .dequantize = dequantize,
    .quantize = quantize,
    .unpack_group = unpack_group,
    .affine_bits = 4,
    .wide = false,
};
