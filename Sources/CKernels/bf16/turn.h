#ifndef HEARTH_BF16_TURN_H
#define HEARTH_BF16_TURN_H

#include "halves.h"

/// Defines `name`: sixteen rows of sixteen numbers, turned in registers by four rounds of interleaving rows eight apart.
#define HEARTH_TURN_SIXTEEN(name, row)                                                                                 \
  HEARTH_INLINE void name(row x[16]) {                                                                                 \
    row y[16];                                                                                                         \
    for (int round = 0; round < 4; round++) {                                                                          \
      for (int i = 0; i < 8; i++) {                                                                                    \
        y[2 * i] = __builtin_shufflevector(x[i], x[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);    \
        y[2 * i + 1] =                                                                                                 \
            __builtin_shufflevector(x[i], x[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);     \
      }                                                                                                                \
      for (int i = 0; i < 16; i++) x[i] = y[i];                                                                        \
    }                                                                                                                  \
  }

HEARTH_TURN_SIXTEEN(turn_sixteen, half_lanes)
HEARTH_TURN_SIXTEEN(turn_words, bit_lanes)

#endif
