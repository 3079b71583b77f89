#include "../include/elementwise.h"
#include "functions.h"

// The weights a sampler draws by.

typedef struct {
  float* y;
  const float* x;
  float shift;
  size_t count;
} exponentials;

HEARTH_INLINE void exponentials_task_body(void* context, int index, int count) {
  const exponentials* e = context;
  hearth_share share = share_of(e->count, LANE_COUNT, index, count);
  for (size_t i = share.from; i < share.to; i += LANE_COUNT) {
    lanes x = lanes_load_first(e->x + i, share.to - i, 0);
    lanes_store_first(e->y + i, lanes_exp(x - e->shift), share.to - i);
  }
}
HEARTH_KERNEL(exponentials_task)

void hearth_exponentials(hearth_pool* pool, float* y, const float* x, float shift, size_t count) {
  exponentials e = {y, x, shift, count};
  hearth_pool_run(pool_for(pool, count), exponentials_task, &e);
}
