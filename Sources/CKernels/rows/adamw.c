#include "adamw.h"

// AdamW with everything in f32.

typedef struct {
  float *parameters, *first, *second;
  const float* gradient;
  size_t count;
  adamw_factors factors;
} adamw;

HEARTH_INLINE void adamw_task_body(void* context, int index, int count) {
  const adamw* a = context;
  hearth_share share = share_of(a->count, LANE_COUNT, index, count);
  for (size_t i = share.from; i < share.to; i += LANE_COUNT) {
    size_t rest = a->count - i;
    lanes g = lanes_load_first(a->gradient + i, rest, 0);
    lanes p = lanes_load_first(a->parameters + i, rest, 0);
    lanes m = lanes_load_first(a->first + i, rest, 0), v = lanes_load_first(a->second + i, rest, 0);
    adamw_step(&a->factors, g, &p, &m, &v);
    lanes_store_first(a->first + i, m, rest);
    lanes_store_first(a->second + i, v, rest);
    lanes_store_first(a->parameters + i, p, rest);
  }
}
HEARTH_KERNEL(adamw_task)

void hearth_adamw(hearth_pool* pool, float* parameters, float* first, float* second,
                  const float* gradient, size_t count, const hearth_adamw_settings* settings) {
  adamw a = {parameters, first, second, gradient, count, adamw_factors_of(settings)};
  hearth_pool_run(pool_for(pool, count), adamw_task, &a);
}
