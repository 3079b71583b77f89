#include "../include/elementwise.h"
#include "softmax.h"

// Softmax over the vocabulary: cross-entropy with its gradient, and log-probabilities.

typedef struct {
  float *losses, *logits;
  const int32_t* targets;
  size_t rows, vocabulary;
  float scale;
} softmax;

HEARTH_INLINE void cross_entropy_task_body(void* context, int index, int count) {
  const softmax* s = context;
  const size_t vocabulary = s->vocabulary;
  hearth_share share = share_of(s->rows, 1, index, count);
  for (size_t r = share.from; r < share.to; r++) {
    float* row = s->logits + r * vocabulary;
    const int32_t target = s->targets[r];
    const double total = loss_of_row(&s->losses[r], row, vocabulary, target, s->scale != 0);
    if (s->scale == 0 || total == 0) continue;
    const float factor = (float)(s->scale / total), exponential = row[target];
    for (size_t i = 0; i < vocabulary; i += LANE_COUNT)
      lanes_store_first(row + i, lanes_load_first(row + i, vocabulary - i, 0) * factor,
                        vocabulary - i);
    row[target] = (float)(s->scale * (exponential / total - 1));
  }
}
HEARTH_KERNEL(cross_entropy_task)

void hearth_cross_entropy(hearth_pool* pool, float* losses, float* logits, const int32_t* targets,
                          size_t rows, size_t vocabulary, float scale) {
  softmax s = {losses, logits, targets, rows, vocabulary, scale};
  hearth_pool_run(pool_for(pool, rows * vocabulary), cross_entropy_task, &s);
}

HEARTH_INLINE void log_softmax_task_body(void* context, int index, int count) {
  const softmax* s = context;
  const size_t vocabulary = s->vocabulary;
  hearth_share share = share_of(s->rows, 1, index, count);
  for (size_t r = share.from; r < share.to; r++) {
    float* row = s->logits + r * vocabulary;
    float largest = largest_of_row(row, vocabulary);
    float shift = (float)hearth_logarithm(sum_of_exponentials(row, vocabulary, largest, false));
    for (size_t i = 0; i < vocabulary; i += LANE_COUNT) {
      lanes logit = lanes_load_first(row + i, vocabulary - i, 0);
      lanes_store_first(row + i, (logit - largest) - shift, vocabulary - i);
    }
  }
}
HEARTH_KERNEL(log_softmax_task)

void hearth_log_softmax(hearth_pool* pool, float* logits, size_t rows, size_t vocabulary) {
  softmax s = {.logits = logits, .rows = rows, .vocabulary = vocabulary};
  hearth_pool_run(pool_for(pool, rows * vocabulary), log_softmax_task, &s);
}
