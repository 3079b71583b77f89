#include <stdatomic.h>

#include "training_rows.h"

// The gradients of attention, recomputing the probabilities page by page:
//
//     P = e^(S − log_sum)      S = scale·q·kᵀ      D = Σ_i dy_i·y_i
//     dv = Pᵀ·dy      dS = P ∘ (dy·vᵀ − D)      dq = scale·dS·k      dk = scale·dSᵀ·q
//
// Dao, "FlashAttention-2" (arXiv:2307.08691), algorithm 2. A unit of work is one key/value head of
// one sequence, done by one worker: dk and dv of a page add its queries in order, dq of a query
// adds the pages in order.

typedef struct {
  packed_batch batch;
  float *dq, *dk, *dv;
  const float *dy, *y, *log_sum, *q, *k, *v;
  atomic_size_t next;
} backward;

/// A page of keys and the gradients it collects.
typedef struct {
  size_t start, count;
  float keys[PAGE * WIDTH_MAXIMUM];                 ///< [PAGE, padded]
  float keys_transposed[PAGE * WIDTH_MAXIMUM];      ///< [width, PAGE]
  float values_transposed[PAGE * WIDTH_MAXIMUM];    ///< [width, PAGE]
  float dk[PAGE * WIDTH_MAXIMUM], dv[PAGE * WIDTH_MAXIMUM];  ///< [PAGE, padded]
} key_page;

/// Some rows of queries.
typedef struct {
  size_t first, rows;
  float q[TILE_FLOATS], dy[TILE_FLOATS], dq[TILE_FLOATS];              ///< [rows, padded]
  float probabilities[TILE_ROWS * PAGE], dscores[TILE_ROWS * PAGE];    ///< [rows, PAGE]
} query_rows;

/// P and dS of the rows in `block` against `page`.
HEARTH_INLINE void probabilities_of(const backward* t, size_t sequence, size_t head,
                                    const key_page* page, query_rows* block) {
  const packed_batch* b = &t->batch;
  const size_t group = b->heads / b->key_value_heads;
  const size_t width = b->width, padded = padded_width(width);
  hearth_tile_multiply(&(hearth_tile_product){
      .rows = block->rows, .columns = PAGE, .depth = width,
      .a = block->q, .a_row = padded, .a_step = 1, .b = page->keys_transposed, .b_row = PAGE,
      .c = block->probabilities, .c_row = PAGE});
  hearth_tile_multiply(&(hearth_tile_product){
      .rows = block->rows, .columns = PAGE, .depth = width,
      .a = block->dy, .a_row = padded, .a_step = 1, .b = page->values_transposed, .b_row = PAGE,
      .c = block->dscores, .c_row = PAGE});
  for (size_t row = 0; row < block->rows; row++) {
    size_t j = block->first + row, element = query_element(b, sequence, head, j);
    lanes products = 0;
    for (size_t i = 0; i < width; i += LANE_COUNT)
      products = lanes_fma(lanes_load(block->dy + row * padded + i),
                           lanes_load_first(t->y + element + i, width - i, 0), products);
    const float total = lanes_sum(products), log_sum = t->log_sum[element / width];
    size_t visible = page->count;
    if (b->causal && j / group - page->start + 1 < visible) visible = j / group - page->start + 1;
    for (size_t key = 0; key < PAGE; key += LANE_COUNT) {
      float* p = block->probabilities + row * PAGE + key;
      float* ds = block->dscores + row * PAGE + key;
      lanes probability = lanes_exp(mask_scores(lanes_load(p), key, visible) - log_sum);
      lanes_store(p, probability);
      lanes_store(ds, probability * (lanes_load(ds) - total));
    }
  }
}

/// Adds what the rows in `block` and `page` owe each other.
HEARTH_INLINE void exchange(const backward* t, size_t sequence, size_t head, key_page* page,
                            query_rows* block) {
  const packed_batch* b = &t->batch;
  const size_t width = b->width, padded = padded_width(width);
  for (size_t row = 0; row < block->rows; row++) {
    size_t element = query_element(b, sequence, head, block->first + row);
    copy_scaled(block->q + row * padded, t->q + element, width, padded, b->scale);
    copy_scaled(block->dy + row * padded, t->dy + element, width, padded, 1);
  }
  probabilities_of(t, sequence, head, page, block);
  hearth_tile_product down = {.rows = page->count, .columns = padded, .depth = block->rows,
                              .a_row = 1, .a_step = PAGE, .b_row = padded, .c_row = padded,
                              .keep = true};
  if (t->dv) {
    down.a = block->probabilities, down.b = block->dy, down.c = page->dv;
    hearth_tile_multiply(&down);
  }
  if (t->dk) {
    down.a = block->dscores, down.b = block->q, down.c = page->dk;
    hearth_tile_multiply(&down);
  }
  if (!t->dq) return;
  hearth_tile_multiply(&(hearth_tile_product){
      .rows = block->rows, .columns = padded, .depth = page->count,
      .a = block->dscores, .a_row = PAGE, .a_step = 1, .b = page->keys, .b_row = padded,
      .c = block->dq, .c_row = padded});
  for (size_t row = 0; row < block->rows; row++) {
    float* dq = t->dq + query_element(b, sequence, head, block->first + row);
    for (size_t i = 0; i < width; i += LANE_COUNT) {
      lanes sum = lanes_fma(lanes_load(block->dq + row * padded + i), (lanes)(b->scale),
                            lanes_load_first(dq + i, width - i, 0));
      lanes_store_first(dq + i, sum, width - i);
    }
  }
}

/// gradient[key] += collected[key] for the page's keys.
HEARTH_INLINE void add_page(float* gradient, const float* collected, size_t step, size_t count,
                            size_t width) {
  const size_t padded = padded_width(width);
  for (size_t key = 0; key < count; key++)
    for (size_t i = 0; i < width; i += LANE_COUNT) {
      float* to = gradient + key * step + i;
      lanes sum = lanes_load_first(to, width - i, 0) + lanes_load(collected + key * padded + i);
      lanes_store_first(to, sum, width - i);
    }
}

HEARTH_INLINE void backward_unit(const backward* t, size_t sequence, size_t head) {
  const packed_batch* b = &t->batch;
  const size_t group = b->heads / b->key_value_heads;
  const size_t width = b->width, padded = padded_width(width);
  const size_t length = sequence_length(b, sequence), step = b->key_value_heads * width;
  const size_t block_rows = tile_rows(padded);
  key_page page;
  query_rows block;
  for (page.start = 0; page.start < length; page.start += PAGE) {
    page.count = length - page.start < PAGE ? length - page.start : PAGE;
    size_t element = key_element(b, sequence, head, page.start);
    copy_page(page.keys, t->k + element, step, page.count, width);
    transpose_page(page.keys_transposed, t->k + element, step, page.count, width);
    transpose_page(page.values_transposed, t->v + element, step, page.count, width);
    memset(page.dk, 0, PAGE * padded * sizeof(float));
    memset(page.dv, 0, PAGE * padded * sizeof(float));
    for (block.first = b->causal ? page.start * group : 0; block.first < length * group;
         block.first += block_rows) {
      size_t rest = length * group - block.first;
      block.rows = rest < block_rows ? rest : block_rows;
      exchange(t, sequence, head, &page, &block);
    }
    if (t->dk) add_page(t->dk + element, page.dk, step, page.count, width);
    if (t->dv) add_page(t->dv + element, page.dv, step, page.count, width);
  }
}

HEARTH_INLINE void backward_task_body(void* context, int index, int count) {
  (void)index, (void)count;
  backward* t = context;
  const size_t units = t->batch.sequences * t->batch.key_value_heads;
  for (;;) {
    size_t unit = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed);
    if (unit >= units) return;
    backward_unit(t, unit / t->batch.key_value_heads, unit % t->batch.key_value_heads);
  }
}
HEARTH_KERNEL(backward_task)

void hearth_attention_backward(hearth_pool* pool, float* dq, float* dk, float* dv, const float* dy,
                               const float* y, const float* log_sum, const float* q, const float* k,
                               const float* v, const int32_t* starts, size_t sequences,
                               size_t heads, size_t key_value_heads, size_t head_width, float scale,
                               bool causal) {
  backward t = {.batch = {starts, sequences, heads, key_value_heads, head_width, scale, causal},
                .dq = dq, .dk = dk, .dv = dv, .dy = dy, .y = y, .log_sum = log_sum,
                .q = q, .k = k, .v = v};
  atomic_init(&t.next, 0);
  hearth_pool_run(pool, backward_task, &t);
}
