#include <stdatomic.h>

#include "halves.h"
#include "query_tile.h"

// Causal attention over the paged cache. A unit of work is one tile of the rows of one key/value
// head in one run; workers take units as they become free, which cannot change a result.

typedef struct {
  const hearth_query_run* runs;
  size_t run_count, ldq, ldy, layer_offset, heads, key_value_heads, width;
  hearth_cache_type type;
  float scale;
  atomic_size_t next;
} cached;

static size_t tiles_of(const cached* c, const hearth_query_run* run) {
  size_t rows = run->count * (c->heads / c->key_value_heads);
  size_t tile = tile_rows(padded_width(c->width));
  return (rows + tile - 1) / tile;
}

/// `rows` rows of `width` numbers of a page as floats, rows `padded` apart: the page itself when it
/// is that already, else a copy in `scratch`.
static const float* page_floats(float* scratch, const char* block, size_t element, size_t rows,
                                size_t width, size_t padded, hearth_cache_type type) {
  if (type == HEARTH_CACHE_F32) {
    const float* from = (const float*)block + element;
    if (width == padded) return from;
    for (size_t row = 0; row < rows; row++) {
      memcpy(scratch + row * padded, from + row * width, width * sizeof(float));
      memset(scratch + row * padded + width, 0, (padded - width) * sizeof(float));
    }
    return scratch;
  }
  const uint16_t* from = (const uint16_t*)block + element;
  if (width == padded) {
    hearth_widen_halves(scratch, from, rows * width);
    return scratch;
  }
  for (size_t row = 0; row < rows; row++) {
    hearth_widen_halves(scratch + row * padded, from + row * width, width);
    memset(scratch + row * padded + width, 0, (padded - width) * sizeof(float));
  }
  return scratch;
}

HEARTH_INLINE void attend_unit(const cached* c, const hearth_query_run* run, size_t head,
                               size_t first_row, size_t rows) {
  const size_t group = c->heads / c->key_value_heads;
  const size_t width = c->width, padded = padded_width(width);
  query_tile tile;
  const bool in_place =
      c->type == HEARTH_CACHE_F16 && width == padded && hearth_tile_reads_halves(rows);
  float scratch[2 * PAGE * WIDTH_MAXIMUM];
  query_tile_begin(&tile, rows, width);
  for (size_t row = 0; row < rows; row++) {
    size_t j = first_row + row;
    const float* q = run->q + j / group * c->ldq + (head * group + j % group) * width;
    copy_scaled(tile.q + row * padded, q, width, padded, c->scale);
  }
  const size_t first = run->first + first_row / group;
  const size_t last = run->first + (first_row + rows - 1) / group;
  for (size_t page = 0; page <= last / PAGE; page++) {
    const size_t start = page * PAGE;
    // Rows before the page see nothing of it.
    size_t from = start > first ? (start - run->first) * group - first_row : 0;
    size_t visible[TILE_ROWS];
    for (size_t row = from; row < rows; row++) {
      size_t sees = run->first + (first_row + row) / group - start + 1;
      visible[row] = sees < PAGE ? sees : PAGE;
    }
    const char* block = (const char*)run->pages[page] + c->layer_offset;
    const size_t head_elements = width * PAGE;
    const size_t key_block = head * head_elements, value_block = (c->key_value_heads + head) * head_elements;
    page_view view = {.value_row = padded};
    if (in_place) {
      view.key_halves = (const uint16_t*)block + key_block;
      view.value_halves = (const uint16_t*)block + value_block;
    } else {
      view.keys = page_floats(scratch, block, key_block, width, PAGE, PAGE, c->type);
      view.values = page_floats(scratch + PAGE * width, block, value_block, visible[rows - 1], width,
                                padded, c->type);
    }
    query_tile_attend(&tile, from, view, visible);
  }
  for (size_t row = 0; row < rows; row++) {
    size_t j = first_row + row;
    float* y = run->y + j / group * c->ldy + (head * group + j % group) * width;
    query_tile_finish_row(&tile, row, y);
  }
}

HEARTH_INLINE void cached_task_body(void* context, int index, int count) {
  (void)index, (void)count;
  cached* c = context;
  const size_t step = tile_rows(padded_width(c->width));
  for (;;) {
    size_t unit = atomic_fetch_add_explicit(&c->next, 1, memory_order_relaxed);
    const hearth_query_run* run = c->runs;
    const hearth_query_run* end = c->runs + c->run_count;
    for (; run < end && unit >= tiles_of(c, run) * c->key_value_heads; run++)
      unit -= tiles_of(c, run) * c->key_value_heads;
    if (run == end) return;
    // The last tiles see the most keys; they go first so that no worker is left with one at the
    // end.
    size_t tile = tiles_of(c, run) - 1 - unit / c->key_value_heads;
    size_t rows = run->count * (c->heads / c->key_value_heads) - tile * step;
    attend_unit(c, run, unit % c->key_value_heads, tile * step, rows < step ? rows : step);
  }
}
HEARTH_KERNEL(cached_task)

void hearth_cached_attention(hearth_pool* pool, const hearth_query_run* runs, size_t run_count,
                             size_t ldq, size_t ldy, size_t layer_offset, hearth_cache_type type,
                             size_t heads, size_t key_value_heads, size_t head_width, float scale) {
  cached c = {.runs = runs, .run_count = run_count, .ldq = ldq, .ldy = ldy,
              .layer_offset = layer_offset, .heads = heads, .key_value_heads = key_value_heads,
              .width = head_width, .type = type, .scale = scale};
  atomic_init(&c.next, 0);
  // Below this many products, waking the workers costs more than they save.
  size_t products = 0;
  for (size_t r = 0; r < run_count; r++)
    products += runs[r].count * (runs[r].first + runs[r].count) * heads * head_width;
  hearth_pool_share(pool_for(pool, products / 4), cached_task, &c);
}
