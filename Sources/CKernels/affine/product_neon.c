#if defined(__aarch64__)

#include <arm_neon.h>

// The panel product for every AArch64: bytes are multiplied into 16 bits, which the rest of a dot's columns join in pairs.
//
// Two products of signed bytes fit 16 bits (2 * 128 * 127 = 32,512), so they are widened after every two groups of columns.

/// Two groups of columns, times the activations of both; adds pairs of columns to the sums of rows 0 and 1, 2 and 3.
__attribute__((always_inline)) static inline void add_pairs(int32x4_t sums[2], uint8x16_t first, int8x16_t first_four,
                                                            uint8x16_t second, int8x16_t second_four) {
  int8x16_t q = vreinterpretq_s8_u8(first), r = vreinterpretq_s8_u8(second);
  int16x8_t low = vmull_s8(vget_low_s8(q), vget_low_s8(first_four));
  int16x8_t high = vmull_high_s8(q, first_four);
  low = vmlal_s8(low, vget_low_s8(r), vget_low_s8(second_four));
  high = vmlal_high_s8(high, r, second_four);
  sums[0] = vpadalq_s16(sums[0], low);
  sums[1] = vpadalq_s16(sums[1], high);
}

__attribute__((always_inline)) static inline int32x4_t add_dots(int32x4_t sum, const uint8x16_t q[4], int8x16_t a) {
  int32x4_t fours = vreinterpretq_s32_s8(a), sums[2] = {vdupq_n_s32(0), vdupq_n_s32(0)};
  add_pairs(sums, q[0], vreinterpretq_s8_s32(vdupq_laneq_s32(fours, 0)), q[1],
            vreinterpretq_s8_s32(vdupq_laneq_s32(fours, 1)));
  add_pairs(sums, q[2], vreinterpretq_s8_s32(vdupq_laneq_s32(fours, 2)), q[3],
            vreinterpretq_s8_s32(vdupq_laneq_s32(fours, 3)));
  return vaddq_s32(sum, vpaddq_s32(sums[0], sums[1]));
}

#define TARGET
#define SHIFTED 1
#define PRODUCT hearth_panel_product_neon
#include "product_neon.h"

#endif
