#include <math.h>

#include "../include/elementwise.h"
#include "lanes.h"

// AdamW, rounding where PyTorch's single-tensor CPU path rounds: settings are combined in double
// and rounded to float once; both moments end in a fused multiply-add (lerp_, addcmul_), the rest
// is products, quotients and sums one after the other, left to right. The moments are PyTorch's to
// the bit; parameters may differ by an ulp or two, because PyTorch's own square root is not always
// correctly rounded.

typedef struct {
  float *parameters, *first, *second;
  const float* gradient;
  size_t count;
  float gradient_scale, decay, gain1, beta2, gain2, correction2_root, epsilon, step;
} adamw;

HEARTH_INLINE void adamw_task_body(void* context, int index, int count) {
  const adamw* a = context;
  hearth_share share = share_of(a->count, LANE_COUNT, index, count);
  for (size_t i = share.from; i < share.to; i += LANE_COUNT) {
    size_t rest = a->count - i;
    lanes g = lanes_load_first(a->gradient + i, rest, 0) * a->gradient_scale;
    lanes p = lanes_load_first(a->parameters + i, rest, 0) * a->decay;
    lanes m = lanes_load_first(a->first + i, rest, 0);
    m = lanes_fma((lanes)(a->gain1), g - m, m);
    lanes v = lanes_load_first(a->second + i, rest, 0) * a->beta2;
    v = lanes_fma(a->gain2 * g, g, v);
    lanes denominator = lanes_square_root(v) / a->correction2_root + a->epsilon;
    p = p + a->step * m / denominator;
    lanes_store_first(a->first + i, m, rest);
    lanes_store_first(a->second + i, v, rest);
    lanes_store_first(a->parameters + i, p, rest);
  }
}
HEARTH_KERNEL(adamw_task)

void hearth_adamw(hearth_pool* pool, float* parameters, float* first, float* second,
                  const float* gradient, size_t count, const hearth_adamw_settings* settings) {
  adamw a = {
      .parameters = parameters,
      .first = first,
      .second = second,
      .gradient = gradient,
      .count = count,
      .gradient_scale = settings->gradient_scale,
      .decay = (float)(1 - settings->learning_rate * settings->weight_decay),
      .gain1 = (float)(1 - settings->beta1),
      .beta2 = (float)settings->beta2,
      .gain2 = (float)(1 - settings->beta2),
      .correction2_root = (float)sqrt(settings->correction2),
      .epsilon = (float)settings->epsilon,
      .step = (float)-(settings->learning_rate / settings->correction1),
  };
  hearth_pool_run(pool_for(pool, count), adamw_task, &a);
}
