#include "attention.h"

#include <math.h>
#include <stdatomic.h>

#include "../rows/logarithm.h"

// y = softmax(scale·q·kᵀ)·v with an online softmax (Milakov and Gimelshein, arXiv:1805.02867) over blocks of 64 keys. A unit of
// work is one panel of 32 queries.

typedef struct {
  const arguments* a;
  const uint16_t* values;  ///< v, turned: [key_value_heads * head_width, tokens]
  size_t ldv;
  atomic_size_t next;
} forward;

/// What a unit works with.
typedef struct {
  _Alignas(64) uint16_t queries[QUERIES * WIDTH_MAXIMUM];
  _Alignas(64) uint16_t panel[QUERIES * (WIDTH_MAXIMUM + 16)];
  _Alignas(64) float scores[KEYS * QUERIES];
  _Alignas(64) uint16_t probabilities[KEYS * QUERIES];
  _Alignas(64) float sums[WIDTH_MAXIMUM * QUERIES];
} unit;

/// Scores of `keys` keys from `start` on become probabilities, relative to the largest score so far.
HEARTH_INLINE void soften(const arguments* a, unit* u, size_t first, size_t start, size_t keys, lanes largest[2],
                          lanes total[2], bool begins, const bool native) {
  const size_t group = group_of(a);
  for (size_t v = 0; v < 2; v++) {
    float* scores = u->scores + v * LANE_COUNT;
    // Keys from here on are not seen.
    integer_lanes seen = positions_of(group, first + v * LANE_COUNT) - (int32_t)start + 1;
    lanes most = largest[v];
    for (size_t key = 0; key < keys; key++) {
      lanes score = lanes_load(scores + key * QUERIES) * a->scale;
      if (a->causal) score = (integer_lanes)((int32_t)key) < seen ? score : (lanes)(-INFINITY);
      lanes_store(scores + key * QUERIES, score);
      most = lanes_max(score, most);
    }
    // A query that has seen nothing yet: e^(−∞ − 0) is 0.
    lanes shift = most == -INFINITY ? (lanes)(0.0f) : most;
    lanes factor = lanes_exp(largest[v] - shift), sum = 0;
    for (size_t key = 0; key < keys + keys % 2; key += 2) {
      lanes p = lanes_exp(lanes_load(scores + key * QUERIES) - shift);
      lanes q = key + 1 < keys ? lanes_exp(lanes_load(scores + (key + 1) * QUERIES) - shift) : (lanes)(0.0f);
      sum = sum + p;
      sum = sum + q;
      store_pairs(u->probabilities + key * QUERIES + v * 2 * LANE_COUNT, lanes_rounded(p, native), lanes_rounded(q, native));
    }
    total[v] = lanes_fma(total[v], factor, sum);
    largest[v] = most;
    if (begins) continue;
    for (size_t i = 0; i < a->head_width; i++) {
      float* at = u->sums + i * QUERIES + v * LANE_COUNT;
      lanes_store(at, lanes_load(at) * factor);
    }
  }
}

HEARTH_INLINE void attend(const forward* f, unit* u, size_t sequence, size_t head, size_t first, size_t rows,
                          const bool native) {
  const arguments* a = f->a;
  const size_t width = a->head_width, length = length_of(a, sequence);
  query_panel(a, a->q, sequence, head, first, rows, u->queries, u->panel);
  lanes largest[2] = {-INFINITY, -INFINITY}, total[2] = {0, 0};
  const size_t end = a->causal ? (first + rows - 1) / group_of(a) + 1 : length;
  for (size_t start = 0; start < end; start += KEYS) {
    const size_t keys = end - start < KEYS ? end - start : KEYS;
    hearth_bf16_multiply(&(hearth_bf16_tile){.a = a->k + key_at(a, sequence, head, start), .lda = a->ldk,
                                             .rows = keys, .pairs = even(width) / 2, .panel = u->panel,
                                             .lanes = QUERIES, .sums = u->scores, .begins = true});
    soften(a, u, first, start, keys, largest, total, start == 0, native);
    hearth_bf16_multiply(&(hearth_bf16_tile){
        .a = f->values + head * width * f->ldv + (size_t)a->starts[sequence] + start, .lda = f->ldv, .rows = width,
        .pairs = even(keys) / 2, .panel = u->probabilities, .lanes = QUERIES, .sums = u->sums, .begins = start == 0});
  }
  const lanes factor[2] = {1.0f / total[0], 1.0f / total[1]};
  write_queries(a, a->y, sequence, head, first, rows, u->sums, factor, native);
  if (!a->log_sum) return;
  for (size_t row = 0; row < rows; row++) {
    double sum = (double)total[row / LANE_COUNT][row % LANE_COUNT];
    a->log_sum[query_at(a, sequence, head, first + row, a->heads, 1)] =
        (float)((double)largest[row / LANE_COUNT][row % LANE_COUNT] + hearth_logarithm(sum));
  }
}

HEARTH_INLINE void forward_task_body(void* context, int index, int count, const bool native) {
  (void)index, (void)count, (void)native;
  forward* f = context;
  const arguments* a = f->a;
  unit u;
  for (;;) {
    size_t number = atomic_fetch_add_explicit(&f->next, 1, memory_order_relaxed), sequence = 0;
    for (size_t units; sequence < a->sequences; sequence++, number -= units) {
      units = (panels_of(a, sequence) - first_panel_of(a, sequence)) * a->key_value_heads;
      if (number < units) break;
    }
    if (sequence == a->sequences) return;
    // The last panels see the most keys, so they go first.
    size_t panel = panels_of(a, sequence) - 1 - number / a->key_value_heads;
    size_t first = panel * QUERIES, rows = length_of(a, sequence) * group_of(a) - first;
    attend(f, &u, sequence, number % a->key_value_heads, first, rows < QUERIES ? rows : QUERIES, native);
  }
}
HEARTH_BF16_KERNEL(forward_task)

void hearth_bf16_attention(hearth_pool* pool, const hearth_bf16_attention_arguments* a, uint16_t* transposed) {
  const size_t tokens = (size_t)a->starts[a->sequences];
  forward f = {.a = a, .values = transposed, .ldv = hearth_bf16_stride(tokens + 1)};
  const size_t width = a->key_value_heads * a->head_width;
  hearth_bf16_transpose(pool, transposed, f.ldv, a->v, a->ldk, tokens, width);
  // The partner of the last key of an odd number of them, which begin at an odd one.
  for (size_t i = 0; i < width; i++) transposed[i * f.ldv + tokens] = 0;
  atomic_init(&f.next, 0);
  hearth_pool_run(pool, forward_task, &f);
}
