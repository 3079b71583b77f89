// The text of a panel's product for NEON, included once for each of its instruction sets with the names of what differs:
//
//     TARGET      the function attribute
//     PRODUCT     the function this defines
//     SHIFTED     1 when columns of eight bits are read less 128, because dots take signed bytes only
//     add_dots    sum + the dots of four rows' sixteen columns, q[g] holding columns 4g ... 4g + 3 of each row
//
// Lanes are rows: a register holds four columns of four rows, and a dot adds four columns to four rows at once. Everything
// is read straight from the packed blocks, for few tokens and for many: a tile of four tokens makes little of unpacking them.

#include <arm_neon.h>

#include "affine_internal.h"

#define INLINE TARGET __attribute__((always_inline)) static inline
#define UNROLLED _Pragma("clang loop unroll(full)")

enum {
  TILE_TOKENS = 4,        ///< tokens whose totals are held at once
  PREFETCH_BYTES = 2560,  ///< ahead of the block in use
  CHAINS = 4,             ///< of dots that are on the way at once
};

/// The 32 columns of four rows: the first sixteen and the others, four columns a register.
INLINE void load_columns(const int bits, uint8x16_t q[2][4], const uint8_t* rows) {
  UNROLLED for (int g = 0; g < 4; g++) {
    uint8x16_t bytes = vld1q_u8(rows + 64 * g);
    if (bits == 4) {
      q[0][g] = vandq_u8(bytes, vdupq_n_u8(15));
      q[1][g] = vshrq_n_u8(bytes, 4);
    } else {
      const uint8x16_t shift = vdupq_n_u8(SHIFTED ? 128 : 0);
      q[0][g] = veorq_u8(bytes, shift);
      q[1][g] = veorq_u8(vld1q_u8(rows + 256 + 64 * g), shift);
    }
  }
}

/// Scales or minimums of four rows.
INLINE float32x4_t load_factors(const uint8_t* factors, size_t index, const bool half_precision) {
  return half_precision ? vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(factors + 2 * index)))
                        : vreinterpretq_f32_u8(vld1q_u8(factors + 4 * index));
}

/// What is missing from a dot of sixteen columns that were read less 128.
INLINE int32x4_t missing_dot(const int8_t* activations) {
  return vdupq_n_s32(128 * (int32_t)vaddlvq_s8(vld1q_s8(activations)));
}

/// `tokens` tokens times rows 4 * first_quad ... 4 * (first_quad + quads) - 1 of a panel.
INLINE void multiply_rows(const int bits, const int parts, const int terms, const int tokens, const int first_quad,
                          const int quads, const bool half_precision, const hearth_affine* matrix,
                          const uint8_t* block, const hearth_activation_block* activations, size_t stride, float* y,
                          size_t ldy) {
  const size_t blocks = matrix->blocks, block_bytes = matrix->block_bytes;
  const bool shifted = SHIFTED && bits == 8;
  float32x4_t total[TILE_TOKENS][4];
  UNROLLED for (int t = 0; t < tokens; t++)
    UNROLLED for (int quad = 0; quad < quads; quad++) total[t][quad] = vdupq_n_f32(0);
  for (size_t b = 0; b < blocks; b++, block += block_bytes) {
    UNROLLED for (int line = 0; line < bits + parts; line++)
      __builtin_prefetch(block + PREFETCH_BYTES + 64 * line);
    const uint8_t* factors = block + 64 * bits;
    int32x4_t missing[TILE_TOKENS][2][2];
    UNROLLED for (int t = 0; t < tokens && shifted; t++)
      UNROLLED for (int term = 0; term < terms; term++)
        UNROLLED for (int half = 0; half < 2; half++)
          missing[t][term][half] = missing_dot(activations[(size_t)t * stride + (size_t)term * blocks + b].q + 16 * half);
    UNROLLED for (int quad = 0; quad < quads; quad++) {
      const size_t row = (size_t)(4 * (first_quad + quad));
      uint8x16_t q[2][4];
      load_columns(bits, q, block + 4 * row);
      UNROLLED for (int part = 0; part < parts; part++) {
        const int from = part, to = parts == 1 ? 2 : part + 1;
        float32x4_t scale = load_factors(factors, (size_t)(16 * part) + row, half_precision);
        float32x4_t minimum = load_factors(factors, (size_t)(16 * (parts + part)) + row, half_precision);
        UNROLLED for (int t = 0; t < tokens; t++) {
          const hearth_activation_block* a = activations + (size_t)t * stride + b;
          const hearth_activation_block* last = terms == 1 ? a : a + blocks;
          int32x4_t dot = vdupq_n_s32(0);
          UNROLLED for (int term = 0; term < terms; term++) {
            if (term == 1) dot = vshlq_n_s32(dot, HEARTH_TERM_BITS);
            UNROLLED for (int half = from; half < to; half++) {
              if (shifted) dot = vaddq_s32(dot, missing[t][term][half]);
              dot = add_dots(dot, q[half], vld1q_s8((term == 0 ? a : last)->q + 16 * half));
            }
          }
          float32x4_t sum = vfmaq_f32(total[t][quad], vmulq_n_f32(scale, last->scale), vcvtq_f32_s32(dot));
          total[t][quad] = vfmaq_n_f32(sum, minimum, parts == 1 ? last->sum : last->half_sum[part]);
        }
      }
      // Four chains of dots at a time are enough to keep the units busy; all at once, as the compiler would have them, do not
      // fit the registers. Nothing is read for the next rows before these are done.
      if ((quad + 1) * tokens % CHAINS == 0)
        UNROLLED for (int t = 0; t < tokens; t++)
          UNROLLED for (int before = 0; before <= quad; before++)
            __asm__ volatile("" : "+w"(total[t][before]) : : "memory");
    }
  }
  UNROLLED for (int t = 0; t < tokens; t++)
    UNROLLED for (int quad = 0; quad < quads; quad++)
      vst1q_f32(y + (size_t)t * ldy + 4 * (first_quad + quad), total[t][quad]);
}

/// The 32 registers hold the totals of 16 rows by two tokens, or of 8 rows by four, beside what is multiplied.
INLINE void multiply_tile(const int bits, const int parts, const int terms, const int tokens, const bool half_precision,
                          const hearth_affine* matrix, const uint8_t* block, const hearth_activation_block* activations,
                          size_t stride, float* y, size_t ldy) {
  const int quads = tokens <= 2 ? 4 : 2;
  UNROLLED for (int quad = 0; quad < 4; quad += quads)
    multiply_rows(bits, parts, terms, tokens, quad, quads, half_precision, matrix, block, activations, stride, y, ldy);
}

typedef void (*tile_kernel)(const hearth_affine* matrix, const uint8_t* block, const hearth_activation_block* activations,
                            size_t stride, float* y, size_t ldy);

#define KERNEL(BITS, PARTS, TERMS, TOKENS)                                                                      \
  TARGET static void multiply_##BITS##_##PARTS##_##TERMS##_##TOKENS(                                            \
      const hearth_affine* matrix, const uint8_t* block, const hearth_activation_block* activations,            \
      size_t stride, float* y, size_t ldy) {                                                                    \
    if (matrix->half_precision)                                                                                 \
      multiply_tile(BITS, PARTS, TERMS, TOKENS, true, matrix, block, activations, stride, y, ldy);              \
    else                                                                                                        \
      multiply_tile(BITS, PARTS, TERMS, TOKENS, false, matrix, block, activations, stride, y, ldy);             \
  }
#define KERNELS(BITS, PARTS, TERMS) \
  KERNEL(BITS, PARTS, TERMS, 1) KERNEL(BITS, PARTS, TERMS, 2) KERNEL(BITS, PARTS, TERMS, 4)
#define NAMES(BITS, PARTS, TERMS)                                                    \
  {multiply_##BITS##_##PARTS##_##TERMS##_1, multiply_##BITS##_##PARTS##_##TERMS##_2, \
   multiply_##BITS##_##PARTS##_##TERMS##_4}
KERNELS(4, 1, 1)
KERNELS(4, 1, 2)
KERNELS(4, 2, 1)
KERNELS(4, 2, 2)
KERNELS(8, 1, 1)
KERNELS(8, 1, 2)
KERNELS(8, 2, 1)
KERNELS(8, 2, 2)

/// By bits, parts, terms and the logarithm of the tokens.
static const tile_kernel kernels[2][2][2][3] = {
    {{NAMES(4, 1, 1), NAMES(4, 1, 2)}, {NAMES(4, 2, 1), NAMES(4, 2, 2)}},
    {{NAMES(8, 1, 1), NAMES(8, 1, 2)}, {NAMES(8, 2, 1), NAMES(8, 2, 2)}}};

void PRODUCT(const hearth_panel_product* p) {
  const hearth_affine* matrix = p->matrix;
  const tile_kernel* kernel = kernels[matrix->bits == 8][matrix->parts - 1][matrix->terms - 1];
  const uint8_t* panel = hearth_affine_panel(matrix, p->panel);
  size_t top = p->panel * HEARTH_PANEL_ROWS;
  size_t rows = matrix->rows - top < HEARTH_PANEL_ROWS ? matrix->rows - top : HEARTH_PANEL_ROWS;
  for (size_t t = p->first, end = p->first + p->tokens; t < end;) {
    int logarithm = 2;
    while (((size_t)1 << logarithm) > end - t) logarithm--;
    size_t tokens = (size_t)1 << logarithm;
    const hearth_activation_block* a = p->activations + t * p->stride;
    float* y = p->y + t * p->ldy + top;
    t += tokens;
    if (rows == HEARTH_PANEL_ROWS) {
      kernel[logarithm](matrix, panel, a, p->stride, y, p->ldy);
      continue;
    }
    float whole[TILE_TOKENS * HEARTH_PANEL_ROWS];
    kernel[logarithm](matrix, panel, a, p->stride, whole, HEARTH_PANEL_ROWS);
    for (size_t i = 0; i < tokens; i++)
      memcpy(y + i * p->ldy, whole + i * HEARTH_PANEL_ROWS, rows * sizeof *y);
  }
}
