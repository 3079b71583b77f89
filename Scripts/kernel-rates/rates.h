#ifndef RATES_H
#define RATES_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "CKernels.h"

/// Seconds on a clock that only goes forward.
static inline double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static inline float noise(void) { return (float)rand() / (float)RAND_MAX * 2 - 1; }

/// The shortest of several runs of STATEMENT, into BEST: what the machine can do when nothing disturbs it.
#define SHORTEST(BEST, STATEMENT)                                           \
  do {                                                                      \
    BEST = 1e9;                                                             \
    double began = seconds();                                               \
    for (int round_ = 0; round_ < 3 || (seconds() - began < 0.5 && round_ < 1000); round_++) { \
      double start = seconds();                                             \
      STATEMENT;                                                            \
      double time = seconds() - start;                                      \
      if (time < BEST) BEST = time;                                         \
    }                                                                       \
  } while (0)

/// What the hardware does at best, all workers of the pool together.
double fma_ceiling(hearth_pool* pool);        ///< floating-point operations a second, from registers
double integer_ceiling(hearth_pool* pool);    ///< u8·s8 multiplications and additions a second
double bandwidth_ceiling(hearth_pool* pool);  ///< bytes read a second, from memory

#endif
