#if defined(__aarch64__)

#include <arm_neon.h>

#include "affine_internal.h"

// A panel times many tokens by the matrix products of bytes: two rows' eight columns, times two tokens', give four sums. A
// stretch of the panel's blocks is brought into that order once, into the first-level cache, and every tile of tokens reads
// it. Totals continue from stretch to stretch in memory, so their order is that of `hearth_panel_product_scalar`.

#define I8MM __attribute__((target("dotprod,i8mm")))
#define INLINE I8MM __attribute__((always_inline)) static inline
#define UNROLLED _Pragma("clang loop unroll(full)")

enum {
  TILE_TOKENS = 4,
  STRETCH_BLOCKS = 18,  ///< most blocks unpacked at once: 576 columns
};

/// A block in pairs of rows.
typedef struct {
  /// Of quad v, columns 16h + 8e ... 16h + 8e + 7 of its rows 0 and 1, then of its rows 2 and 3.
  _Alignas(16) uint8_t pairs[4][2][2][2][16];
  float factors[4][4][4];  ///< of quad v, the scales of each part, then the minimums
} unpacked_block;

I8MM static void unpack_block(unpacked_block* out, const hearth_affine* matrix, const uint8_t* block) {
  for (size_t v = 0; v < 4; v++) {
    for (size_t e = 0; e < 2; e++) {
      const uint8_t* q = block + 128 * e + 16 * v;
      uint8x16_t first[2], second[2];  // of halves
      for (size_t g = 0; g < 2; g++) {
        uint8x16_t bytes = vld1q_u8(q + 64 * g);
        first[g] = matrix->bits == 4 ? vandq_u8(bytes, vdupq_n_u8(15)) : bytes;
        second[g] = matrix->bits == 4 ? vshrq_n_u8(bytes, 4) : vld1q_u8(q + 256 + 64 * g);
      }
      uint32x4_t a = vreinterpretq_u32_u8(first[0]), b = vreinterpretq_u32_u8(first[1]);
      vst1q_u8(out->pairs[v][0][e][0], vreinterpretq_u8_u32(vzip1q_u32(a, b)));
      vst1q_u8(out->pairs[v][0][e][1], vreinterpretq_u8_u32(vzip2q_u32(a, b)));
      a = vreinterpretq_u32_u8(second[0]), b = vreinterpretq_u32_u8(second[1]);
      vst1q_u8(out->pairs[v][1][e][0], vreinterpretq_u8_u32(vzip1q_u32(a, b)));
      vst1q_u8(out->pairs[v][1][e][1], vreinterpretq_u8_u32(vzip2q_u32(a, b)));
    }
    const uint8_t* factors = block + hearth_affine_q_bytes(matrix);
    for (size_t i = 0; i < 2 * (size_t)matrix->parts; i++) {
      size_t index = i * HEARTH_PANEL_ROWS + 4 * v;
      vst1q_f32(out->factors[v][i], matrix->half_precision
                                        ? vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(factors + 2 * index)))
                                        : vreinterpretq_f32_u8(vld1q_u8(factors + 4 * index)));
    }
  }
}

/// The first and the last eight of sixteen columns of two tokens.
INLINE void load_pair(int8x16_t eights[2], const int8_t* first, const int8_t* second) {
  int64x2_t a = vreinterpretq_s64_s8(vld1q_s8(first)), b = vreinterpretq_s64_s8(vld1q_s8(second));
  eights[0] = vreinterpretq_s8_s64(vzip1q_s64(a, b));
  eights[1] = vreinterpretq_s8_s64(vzip2q_s64(a, b));
}

/// Continues the totals [2 * pairs, 16] of rows 8 * side ... 8 * side + 7 over `count` blocks. `activations` has the first of the
/// blocks of each token.
INLINE void multiply_side(const int parts, const int terms, const int pairs, const int side, const unpacked_block* block,
                          size_t count, const hearth_activation_block* const* activations, size_t blocks, float* totals) {
  float32x4_t total[TILE_TOKENS][2];
  UNROLLED for (int t = 0; t < 2 * pairs; t++)
    UNROLLED for (int v = 0; v < 2; v++) total[t][v] = vld1q_f32(totals + 16 * t + 8 * side + 4 * v);
  for (size_t b = 0; b < count; b++, block++) {
    UNROLLED for (int pair = 0; pair < pairs; pair++) {
      const hearth_activation_block* one = activations[2 * pair] + b;
      const hearth_activation_block* other = activations[2 * pair + 1] + b;
      int8x16_t a[2][2][2];
      UNROLLED for (int term = 0; term < terms; term++)
        UNROLLED for (int half = 0; half < 2; half++)
          load_pair(a[term][half], one[(size_t)term * blocks].q + 16 * half, other[(size_t)term * blocks].q + 16 * half);
      one += (size_t)(terms - 1) * blocks;
      other += (size_t)(terms - 1) * blocks;
      UNROLLED for (int v = 0; v < 2; v++) {
        UNROLLED for (int part = 0; part < parts; part++) {
          const int from = part, to = parts == 1 ? 2 : part + 1;
          int32x4_t upper = vdupq_n_s32(0), lower = upper;
          UNROLLED for (int term = 0; term < terms; term++) {
            if (term == 1) upper = vshlq_n_s32(upper, HEARTH_TERM_BITS), lower = vshlq_n_s32(lower, HEARTH_TERM_BITS);
            UNROLLED for (int half = from; half < to; half++) {
              UNROLLED for (int e = 0; e < 2; e++) {
                const uint8_t(*rows)[16] = block->pairs[2 * side + v][half][e];
                upper = vusmmlaq_s32(upper, vld1q_u8(rows[0]), a[term][half][e]);
                lower = vusmmlaq_s32(lower, vld1q_u8(rows[1]), a[term][half][e]);
              }
            }
          }
          // Each holds two rows by two tokens.
          int32x4_t dots[2] = {vuzp1q_s32(upper, lower), vuzp2q_s32(upper, lower)};
          float32x4_t scale = vld1q_f32(block->factors[2 * side + v][part]);
          float32x4_t minimum = vld1q_f32(block->factors[2 * side + v][parts + part]);
          UNROLLED for (int i = 0; i < 2; i++) {
            const hearth_activation_block* last = i == 0 ? one : other;
            float32x4_t sum = vfmaq_f32(total[2 * pair + i][v], vmulq_n_f32(scale, last->scale), vcvtq_f32_s32(dots[i]));
            total[2 * pair + i][v] = vfmaq_n_f32(sum, minimum, parts == 1 ? last->sum : last->half_sum[part]);
          }
        }
      }
    }
  }
  UNROLLED for (int t = 0; t < 2 * pairs; t++)
    UNROLLED for (int v = 0; v < 2; v++) vst1q_f32(totals + 16 * t + 8 * side + 4 * v, total[t][v]);
}

typedef void (*tile_kernel)(const unpacked_block* block, size_t count, const hearth_activation_block* const* activations,
                            size_t blocks, float* totals);

#define KERNEL(PARTS, TERMS, PAIRS)                                                                       \
  I8MM static void multiply_##PARTS##_##TERMS##_##PAIRS(                                                  \
      const unpacked_block* block, size_t count, const hearth_activation_block* const* activations,       \
      size_t blocks, float* totals) {                                                                     \
    multiply_side(PARTS, TERMS, PAIRS, 0, block, count, activations, blocks, totals);                     \
    multiply_side(PARTS, TERMS, PAIRS, 1, block, count, activations, blocks, totals);                     \
  }
#define KERNELS(PARTS, TERMS) KERNEL(PARTS, TERMS, 1) KERNEL(PARTS, TERMS, 2)
#define NAMES(PARTS, TERMS) {multiply_##PARTS##_##TERMS##_1, multiply_##PARTS##_##TERMS##_2}
KERNELS(1, 1)
KERNELS(1, 2)
KERNELS(2, 1)
KERNELS(2, 2)

/// By parts, terms and pairs of tokens.
static const tile_kernel kernels[2][2][TILE_TOKENS / 2] = {{NAMES(1, 1), NAMES(1, 2)}, {NAMES(2, 1), NAMES(2, 2)}};

void hearth_panel_product_batch_i8mm(const hearth_panel_product* p) {
  const hearth_affine* matrix = p->matrix;
  const tile_kernel* kernel = kernels[matrix->parts - 1][matrix->terms - 1];
  const uint8_t* panel = hearth_affine_panel(matrix, p->panel);
  unpacked_block stretch[STRETCH_BLOCKS];
  // One token more than the most: an odd last one is multiplied twice.
  _Alignas(16) float totals[(HEARTH_BATCH_TOKENS + 1) * HEARTH_PANEL_ROWS];
  memset(totals, 0, (p->tokens + 1) * HEARTH_PANEL_ROWS * sizeof *totals);
  size_t stretches = (matrix->blocks + STRETCH_BLOCKS - 1) / STRETCH_BLOCKS;
  for (size_t s = 0; s < stretches; s++) {
    size_t start = matrix->blocks * s / stretches;
    size_t count = matrix->blocks * (s + 1) / stretches - start;
    for (size_t b = 0; b < count; b++)
      unpack_block(&stretch[b], matrix, panel + (start + b) * matrix->block_bytes);
    for (size_t t = 0; t < p->tokens; t += TILE_TOKENS) {
      size_t left = p->tokens - t, tokens = left < TILE_TOKENS ? left : TILE_TOKENS;
      const hearth_activation_block* activations[TILE_TOKENS];
      for (size_t i = 0; i < TILE_TOKENS; i++)
        activations[i] = p->activations + (p->first + t + (i < tokens ? i : tokens - 1)) * p->stride + start;
      kernel[(tokens - 1) / 2](stretch, count, activations, matrix->blocks, totals + t * HEARTH_PANEL_ROWS);
    }
  }
  size_t top = p->panel * HEARTH_PANEL_ROWS;
  size_t rows = matrix->rows - top < HEARTH_PANEL_ROWS ? matrix->rows - top : HEARTH_PANEL_ROWS;
  for (size_t t = 0; t < p->tokens; t++)
    memcpy(p->y + (p->first + t) * p->ldy + top, totals + t * HEARTH_PANEL_ROWS, rows * sizeof *totals);
}

#endif
