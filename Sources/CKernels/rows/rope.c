#include "rotation.h"

// Rotary position embedding of whole matrices.

typedef struct {
  float* x;
  const int32_t* positions;
  const float *cosines, *sines;
  size_t rows, heads, head_width, rotary_width;
  hearth_rope_pairing pairing;
  bool inverse;
} rope;

HEARTH_INLINE void rope_task_body(void* context, int index, int count) {
  const rope* r = context;
  const size_t pairs = r->rotary_width / 2;
  const float sign = r->inverse ? -1 : 1;
  hearth_share share = share_of(r->rows, 1, index, count);
  for (size_t row = share.from; row < share.to; row++) {
    const float* cosines = r->cosines + (size_t)r->positions[row] * pairs;
    const float* sines = r->sines + (size_t)r->positions[row] * pairs;
    for (size_t h = 0; h < r->heads; h++) {
      float* head = r->x + (row * r->heads + h) * r->head_width;
      rotate_head(head, cosines, sines, sign, pairs, r->pairing);
    }
  }
}
HEARTH_KERNEL(rope_task)

void hearth_rope(hearth_pool* pool, float* x, const int32_t* positions, const float* cosines,
                 const float* sines, size_t rows, size_t heads, size_t head_width,
                 size_t rotary_width, hearth_rope_pairing pairing, bool inverse) {
  rope r = {x, positions, cosines, sines, rows, heads, head_width, rotary_width, pairing, inverse};
  hearth_pool_run(pool_for(pool, rows * heads * rotary_width), rope_task, &r);
}
