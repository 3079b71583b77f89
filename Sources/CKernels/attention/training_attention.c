#include <stdatomic.h>

#include "training_rows.h"

// Attention over whole packed sequences. The arithmetic of a row is that of the cached attention
// with an f32 cache. A unit of work is one tile of the rows of one key/value head in one sequence.

typedef struct {
  packed_batch batch;
  float *y, *log_sum;
  const float *q, *k, *v;
  atomic_size_t next;
} forward;

static size_t tiles_of(const packed_batch* b, size_t sequence) {
  size_t rows = sequence_length(b, sequence) * (b->heads / b->key_value_heads);
  size_t tile = tile_rows(padded_width(b->width));
  return (rows + tile - 1) / tile;
}

HEARTH_INLINE void attend_unit(const forward* f, size_t sequence, size_t head, size_t first_row,
                               size_t rows) {
  const packed_batch* b = &f->batch;
  const size_t group = b->heads / b->key_value_heads;
  const size_t width = b->width, padded = padded_width(width);
  const size_t length = sequence_length(b, sequence), step = b->key_value_heads * width;
  query_tile tile;
  float keys[PAGE * WIDTH_MAXIMUM], values[PAGE * WIDTH_MAXIMUM];
  query_tile_begin(&tile, rows, width);
  for (size_t row = 0; row < rows; row++)
    copy_scaled(tile.q + row * padded, f->q + query_element(b, sequence, head, first_row + row),
                width, padded, b->scale);
  const size_t first = first_row / group, last = (first_row + rows - 1) / group;
  const size_t end = b->causal ? last + 1 : length;
  for (size_t start = 0; start < end; start += PAGE) {
    const size_t count = length - start < PAGE ? length - start : PAGE;
    // Rows before the page see nothing of it.
    size_t from = b->causal && start > first ? start * group - first_row : 0;
    size_t visible[TILE_ROWS];
    for (size_t row = from; row < rows; row++) {
      size_t sees = b->causal ? (first_row + row) / group - start + 1 : count;
      visible[row] = sees < count ? sees : count;
    }
    size_t element = key_element(b, sequence, head, start);
    transpose_page(keys, f->k + element, step, count, width);
    copy_page(values, f->v + element, step, count, width);
    query_tile_attend(&tile, from, (page_view){.keys = keys, .values = values, .value_row = padded}, visible);
  }
  for (size_t row = 0; row < rows; row++) {
    size_t element = query_element(b, sequence, head, first_row + row);
    query_tile_finish_row(&tile, row, f->y + element);
    if (f->log_sum)
      f->log_sum[element / width] =
          (float)((double)tile.largest[row] + hearth_logarithm((double)tile.sum[row]));
  }
}

HEARTH_INLINE void forward_task_body(void* context, int index, int count) {
  (void)index, (void)count;
  forward* f = context;
  const packed_batch* b = &f->batch;
  const size_t step = tile_rows(padded_width(b->width));
  for (;;) {
    size_t unit = atomic_fetch_add_explicit(&f->next, 1, memory_order_relaxed), sequence = 0;
    while (sequence < b->sequences && unit >= tiles_of(b, sequence) * b->key_value_heads)
      unit -= tiles_of(b, sequence++) * b->key_value_heads;
    if (sequence == b->sequences) return;
    // The last tiles see the most keys, so they go first.
    size_t tile = tiles_of(b, sequence) - 1 - unit / b->key_value_heads;
    size_t all = sequence_length(b, sequence) * (b->heads / b->key_value_heads);
    size_t rows = all - tile * step;
    attend_unit(f, sequence, unit % b->key_value_heads, tile * step, rows < step ? rows : step);
  }
}
HEARTH_KERNEL(forward_task)

void hearth_attention(hearth_pool* pool, float* y, float* log_sum, const float* q, const float* k,
                      const float* v, const int32_t* starts, size_t sequences, size_t heads,
                      size_t key_value_heads, size_t head_width, float scale, bool causal) {
  forward f = {.batch = {starts, sequences, heads, key_value_heads, head_width, scale, causal},
               .y = y, .log_sum = log_sum, .q = q, .k = k, .v = v};
  atomic_init(&f.next, 0);
  hearth_pool_run(pool, forward_task, &f);
}
