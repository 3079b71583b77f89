#include <math.h>

#include "../include/elementwise.h"
#include "functions.h"
#include "logarithm.h"

// Softmax over the vocabulary: cross-entropy with its gradient, and log-probabilities. The sum of
// the exponentials is kept in sixteen doubles, number i mod 16 taking element i, and added in the
// tree.

typedef struct {
  float *losses, *logits;
  const int32_t* targets;
  size_t rows, vocabulary;
  float scale;
} softmax;

HEARTH_INLINE float largest_of_row(const float* row, size_t count) {
  lanes largest = -INFINITY;
  for (size_t i = 0; i < count; i += LANE_COUNT)
    largest = lanes_max(largest, lanes_load_first(row + i, count - i, -INFINITY));
  return lanes_largest(largest);
}

/// Σ e^(row[i] − largest); the terms replace the row when `keep`.
HEARTH_INLINE double sum_of_exponentials(float* row, size_t count, float largest, bool keep) {
  wide_lanes sums = 0;
  for (size_t i = 0; i < count; i += LANE_COUNT) {
    lanes e = lanes_exp(lanes_load_first(row + i, count - i, -INFINITY) - largest);
    if (keep) lanes_store_first(row + i, e, count - i);
    sums += __builtin_convertvector(e, wide_lanes);
  }
  return wide_lanes_sum(sums);
}

HEARTH_INLINE void cross_entropy_task_body(void* context, int index, int count) {
  const softmax* s = context;
  const size_t vocabulary = s->vocabulary;
  hearth_share share = share_of(s->rows, 1, index, count);
  for (size_t r = share.from; r < share.to; r++) {
    float* row = s->logits + r * vocabulary;
    const int32_t target = s->targets[r];
    const bool gradient = s->scale != 0;
    if (target < 0 || (size_t)target >= vocabulary) {
      // -1 leaves the row out. Any other outsider is the caller's mistake, made visible.
      s->losses[r] = target == -1 ? 0 : NAN;
      if (gradient) memset(row, 0, vocabulary * sizeof(float));
      continue;
    }
    float largest = largest_of_row(row, vocabulary), chosen = row[target] - largest;
    double total = sum_of_exponentials(row, vocabulary, largest, gradient);
    s->losses[r] = (float)(hearth_logarithm(total) - (double)chosen);
    if (!gradient) continue;
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
