#if defined(__aarch64__)

#include <arm_neon.h>

// The panel product by the dot products of signed bytes.

#define TARGET __attribute__((target("dotprod")))

TARGET __attribute__((always_inline)) static inline int32x4_t add_dots(int32x4_t sum, const uint8x16_t q[4],
                                                                       int8x16_t a) {
  sum = vdotq_laneq_s32(sum, vreinterpretq_s8_u8(q[0]), a, 0);
  sum = vdotq_laneq_s32(sum, vreinterpretq_s8_u8(q[1]), a, 1);
  sum = vdotq_laneq_s32(sum, vreinterpretq_s8_u8(q[2]), a, 2);
  return vdotq_laneq_s32(sum, vreinterpretq_s8_u8(q[3]), a, 3);
}

#define SHIFTED 1
#define PRODUCT hearth_panel_product_dotprod
#include "product_neon.h"

#endif
