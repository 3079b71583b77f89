#if defined(__aarch64__)

#include <arm_neon.h>

// The panel product by the dot products of unsigned with signed bytes, for few tokens.

#define TARGET __attribute__((target("dotprod,i8mm")))

TARGET __attribute__((always_inline)) static inline int32x4_t add_dots(int32x4_t sum, const uint8x16_t q[4],
                                                                       int8x16_t a) {
  sum = vusdotq_laneq_s32(sum, q[0], a, 0);
  sum = vusdotq_laneq_s32(sum, q[1], a, 1);
  sum = vusdotq_laneq_s32(sum, q[2], a, 2);
  return vusdotq_laneq_s32(sum, q[3], a, 3);
}

#define SHIFTED 0
#define PRODUCT hearth_panel_product_i8mm
#include "product_neon.h"

#endif
