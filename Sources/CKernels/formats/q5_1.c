// Q5_1: 32 elements, 5-bit levels 0...31 with a scale and a minimum, 6 bits an element.
//
//     value = d · q + m
#include "block.h"
#include "fit.h"

typedef struct HEARTH_PACKED {
  uint16_t d;      ///< scale, f16
  uint16_t m;      ///< minimum, f16
  uint32_t qh;     ///< bit i: the fifth bit of element i
  uint8_t qs[16];  ///< byte i: element i in the low bits, element i + 16 in the high
} block;
_Static_assert(sizeof(block) == 24, "Q5_1 block");

HEARTH_BODY void unpack(uint8_t q[restrict 32], const block* b) {
  uint32_t high = b->qh;
  for (int i = 0; i < 16; i++) {
    q[i] = (uint8_t)((b->qs[i] & 15) | (high >> i & 1) << 4);
    q[i + 16] = (uint8_t)((b->qs[i] >> 4) | (high >> (i + 16) & 1) << 4);
  }
}

HEARTH_BODY void expand(float* restrict out, const void* restrict blocks, size_t count) {
  const block* b = blocks;
  HEARTH_BLOCK_BY_BLOCK
  for (size_t n = 0; n < count / 32; n++, b++, out += 32) {
    float d = hearth_f16_to_f32(b->d), m = hearth_f16_to_f32(b->m);
    uint8_t q[32];
    unpack(q, b);
    for (int i = 0; i < 32; i++) out[i] = d * (float)q[i] + m;
  }
}

HEARTH_DEQUANTIZE(expand)

static void quantize(void* blocks, const float* values, size_t count) {
  block* b = blocks;
  for (size_t n = 0; n < count / 32; n++, b++, values += 32) {
    uint8_t q[32];
    uint16_t d, m;
    hearth_fit_affine(values, 31, &d, &m, q);
    b->d = d;
    b->m = m;
    uint32_t high = 0;
    for (int i = 0; i < 32; i++) high |= (uint32_t)(q[i] >> 4) << i;
    b->qh = high;
    for (int i = 0; i < 16; i++) b->qs[i] = (uint8_t)((q[i] & 15) | (q[i + 16] & 15) << 4);
  }
}

static void unpack_group(uint8_t q[restrict 32], float scale[2], float minimum[2], const void* row,
                         size_t g) {
  const block* b = (const block*)row + g;
  unpack(q, b);
  scale[0] = scale[1] = hearth_f16_to_f32(b->d);
  minimum[0] = minimum[1] = hearth_f16_to_f32(b->m);
}

const hearth_format hearth_format_q5_1 = {
    .ggml_type = 7,
    .name = "Q5_1",
    .block_elements = 32,
    .block_bytes = sizeof(block),
    .dequantize = dequantize,
    .quantize = quantize,
    .unpack_group = unpack_group,
    .affine_bits = 8,
    .wide = true,
};
