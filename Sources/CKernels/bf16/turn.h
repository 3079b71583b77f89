#ifndef HEARTH_BF16_TURN_H
#define HEARTH_BF16_TURN_H

#include "halves.h"

/// Sixteen rows of sixteen, turned in registers: four rounds of interleaving rows eight apart.
HEARTH_INLINE void turn_sixteen(half_lanes x[16]) {
  half_lanes y[16];
  for (int round = 0; round < 4; round++) {
    for (int i = 0; i < 8; i++) {
      y[2 * i] = __builtin_shufflevector(x[i], x[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      y[2 * i + 1] =
          __builtin_shufflevector(x[i], x[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
    for (int i = 0; i < 16; i++) x[i] = y[i];
  }
}

#endif
