#ifndef HEARTH_K_SCALES_H
#define HEARTH_K_SCALES_H

#include <stdint.h>

// Q4_K and Q5_K hold eight 6-bit scales and eight 6-bit minimums in 12 bytes:
//
//     byte 0...3   scale s     (low 6 bits) and the high 2 bits of scale s + 4
//     byte 4...7   minimum s   (low 6 bits) and the high 2 bits of minimum s + 4
//     byte 8...11  the low 4 bits of scale s + 4, then of minimum s + 4          s = 0...3

static inline int hearth_k_scale(const uint8_t bytes[12], int s) {
  return s < 4 ? bytes[s] & 63 : (bytes[s + 4] & 15) | bytes[s - 4] >> 6 << 4;
}

static inline int hearth_k_minimum(const uint8_t bytes[12], int s) {
  return s < 4 ? bytes[s + 4] & 63 : bytes[s + 4] >> 4 | bytes[s] >> 6 << 4;
}

static inline void hearth_k_pack(uint8_t bytes[12], const uint8_t scales[8],
                                 const uint8_t minimums[8]) {
  for (int s = 0; s < 4; s++) {
    bytes[s] = (uint8_t)(scales[s] | scales[s + 4] >> 4 << 6);
    bytes[s + 4] = (uint8_t)(minimums[s] | minimums[s + 4] >> 4 << 6);
    bytes[s + 8] = (uint8_t)((scales[s + 4] & 15) | (minimums[s + 4] & 15) << 4);
  }
}

#endif
