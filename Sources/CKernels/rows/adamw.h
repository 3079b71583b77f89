#ifndef HEARTH_ROWS_ADAMW_H
#define HEARTH_ROWS_ADAMW_H

#include <math.h>

#include "../include/elementwise.h"
#include "lanes.h"

// AdamW, rounding where PyTorch's single-tensor CPU path rounds: settings are combined in double
// and rounded to float once; both moments end in a fused multiply-add (lerp_, addcmul_), the rest
// is products, quotients and sums one after the other, left to right. The moments are PyTorch's to
// the bit; parameters may differ by an ulp or two, because PyTorch's own square root is not always
// correctly rounded.

/// A step's settings, combined.
typedef struct {
  float gradient_scale, decay, gain1, beta2, gain2, correction2_root, epsilon, step;
} adamw_factors;

static inline adamw_factors adamw_factors_of(const hearth_adamw_settings* settings) {
  return (adamw_factors){
      .gradient_scale = settings->gradient_scale,
      .decay = (float)(1 - settings->learning_rate * settings->weight_decay),
      .gain1 = (float)(1 - settings->beta1),
      .beta2 = (float)settings->beta2,
      .gain2 = (float)(1 - settings->beta2),
      .correction2_root = (float)sqrt(settings->correction2),
      .epsilon = (float)settings->epsilon,
      .step = (float)-(settings->learning_rate / settings->correction1),
  };
}

/// Sixteen parameters and their moments take a step against the gradient `g`.
HEARTH_INLINE void adamw_step(const adamw_factors* f, lanes g, lanes* p, lanes* m, lanes* v) {
  g = g * f->gradient_scale;
  *p = *p * f->decay;
  *m = lanes_fma((lanes)(f->gain1), g - *m, *m);
  *v = *v * f->beta2;
  *v = lanes_fma(f->gain2 * g, g, *v);
  lanes denominator = lanes_square_root(*v) / f->correction2_root + f->epsilon;
  *p = *p + f->step * *m / denominator;
}

#endif
