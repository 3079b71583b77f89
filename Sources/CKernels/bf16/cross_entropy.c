#include "../include/bf16.h"
#include "../rows/softmax.h"
#include "halves.h"

// Cross-entropy whose gradient takes the place of the logits in bf16.

typedef struct {
  float *losses, *logits;
  size_t ld;
  const int32_t* targets;
  size_t rows, vocabulary;
  float scale;
} softmax;

HEARTH_INLINE void cross_entropy_task_body(void* context, int index, int count, const bool native) {
  const softmax* s = context;
  const size_t vocabulary = s->vocabulary;
  hearth_share share = share_of(s->rows, 1, index, count);
  for (size_t r = share.from; r < share.to; r++) {
    float* row = s->logits + r * s->ld;
    uint16_t* halves = (uint16_t*)(void*)row;
    const int32_t target = s->targets[r];
    const double total = loss_of_row(&s->losses[r], row, vocabulary, target, s->scale != 0);
    if (s->scale == 0 || total == 0) continue;
    const float factor = (float)(s->scale / total), exponential = row[target];
    // A half lies before the float it comes from, so nothing is overwritten that is still to be read.
    for (size_t i = 0; i < vocabulary; i += LANE_COUNT) {
      half_lanes rounded = lanes_rounded(lanes_load_first(row + i, vocabulary - i, 0) * factor, native);
      halves_store_first(halves + i, rounded, vocabulary + vocabulary % 2 - i);
    }
    lanes at_target = (float)(s->scale * (exponential / total - 1));
    halves_store_first(halves + target, lanes_rounded(at_target, native), 1);
  }
}
HEARTH_BF16_KERNEL(cross_entropy_task)

void hearth_bf16_cross_entropy(hearth_pool* pool, float* losses, float* logits, size_t ld, const int32_t* targets,
                               size_t rows, size_t vocabulary, float scale) {
  softmax s = {losses, logits, ld, targets, rows, vocabulary, scale};
  hearth_pool_run(pool_for(pool, rows * vocabulary), cross_entropy_task, &s);
}
