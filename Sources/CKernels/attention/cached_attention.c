#include "../rows/rotation.h"
#include "cache_rows.h"
#include "cached_tile.h"

#include <stdatomic.h>

// Causal attention over the paged cache, and what comes before it: queries and keys are turned, keys and values stored.
//
// For a run of few rows all that belongs to one key/value head is one unit of work, so the workers meet once. The rows of a long
// run see keys of one another: those are all stored first, then each tile of queries is a unit. Workers take units as they
// become free, which cannot change a result.

/// Most rows of a run whose unit is a head.
enum { FEW_ROWS = 8 };

typedef struct {
  const hearth_cached_layer* layer;
  const hearth_query_run* runs;
  size_t run_count;
  atomic_size_t next;
} attention;

static inline bool is_long(const hearth_query_run* run) { return run->count > FEW_ROWS; }

/// Turns the rows `from` ..< `to` of a run's queries and key of one key/value head, and stores key and value.
HEARTH_INLINE void prepare_rows(const hearth_cached_layer* c, const hearth_query_run* run, size_t head,
                                size_t from, size_t to) {
  const size_t group = group_of(c), width = c->head_width, pairs = width / 2;
  const cache_layer cache = {run->pages, c->layer_offset, c->type, c->key_value_heads, width};
  for (size_t i = from; i < to; i++) {
    float* q = run->q + i * c->ldq + head * group * width;
    float* k = run->k + i * c->ldk + head * width;
    if (c->cosines != NULL) {
      const float *cosines = c->cosines + (run->first + i) * pairs, *sines = c->sines + (run->first + i) * pairs;
      for (size_t h = 0; h < group; h++)
        rotate_head(q + h * width, cosines, sines, 1, pairs, c->pairing);
      rotate_head(k, cosines, sines, 1, pairs, c->pairing);
    }
    hearth_cache_store_head(&cache, k, run->v + i * c->ldk + head * width, run->first + i, head);
  }
}

/// Pages that the rows of a run are stored in.
static inline size_t pages_of(const hearth_query_run* run) {
  return (run->first + run->count - 1) / PAGE - run->first / PAGE + 1;
}

/// Rows of long runs, a page and a head at a time: no two workers write to one cache line.
HEARTH_INLINE void prepare_task_body(void* context, int index, int count) {
  (void)index, (void)count;
  attention* a = context;
  const hearth_cached_layer* c = a->layer;
  for (;;) {
    size_t unit = atomic_fetch_add_explicit(&a->next, 1, memory_order_relaxed);
    const hearth_query_run *run = a->runs, *end = a->runs + a->run_count;
    for (; run < end; run++) {
      if (!is_long(run)) continue;
      size_t units = pages_of(run) * c->key_value_heads;
      if (unit < units) break;
      unit -= units;
    }
    if (run == end) return;
    size_t page = run->first / PAGE + unit / c->key_value_heads, start = page * PAGE;
    size_t from = start > run->first ? start - run->first : 0, to = start + PAGE - run->first;
    prepare_rows(c, run, unit % c->key_value_heads, from, to < run->count ? to : run->count);
  }
}
HEARTH_KERNEL(prepare_task)

HEARTH_INLINE void attend_tile(const hearth_cached_layer* c, const hearth_query_run* run, size_t head,
                               size_t tile, head_page after) {
  const size_t step = tile_rows(padded_width(c->head_width));
  size_t rows = run->count * group_of(c) - tile * step;
  attend_unit(c, run, head, tile * step, rows < step ? rows : step, after);
}

/// The run that a unit is of, and what number it has in there; NULL beyond the last.
static inline const hearth_query_run* run_of(const attention* a, size_t* unit) {
  for (const hearth_query_run* run = a->runs; run < a->runs + a->run_count; run++) {
    size_t units = (is_long(run) ? tiles_of(a->layer, run) : 1) * a->layer->key_value_heads;
    if (*unit < units) return run;
    *unit -= units;
  }
  return NULL;
}

HEARTH_INLINE void attend_task_body(void* context, int index, int count) {
  (void)index;
  attention* a = context;
  const hearth_cached_layer* c = a->layer;
  for (;;) {
    size_t unit = atomic_fetch_add_explicit(&a->next, 1, memory_order_relaxed);
    // With all workers at it, this one's next unit will be about as far on as there are workers.
    size_t guess = unit + (size_t)count;
    const hearth_query_run* run = run_of(a, &unit);
    if (run == NULL) return;
    size_t head = unit % c->key_value_heads, tiles = tiles_of(c, run);
    const hearth_query_run* later = run_of(a, &guess);
    head_page after = later == NULL ? head_in_page(c, run, 0, head) : head_in_page(c, later, 0, guess % c->key_value_heads);
    if (is_long(run)) {
      // The last tiles see the most keys; they go first so that no worker is left with one at the end.
      attend_tile(c, run, head, tiles - 1 - unit / c->key_value_heads, after);
      continue;
    }
    prepare_rows(c, run, head, 0, run->count);
    for (size_t tile = 0; tile < tiles; tile++) attend_tile(c, run, head, tile, after);
  }
}
HEARTH_KERNEL(attend_task)

void hearth_cached_attention(hearth_pool* pool, const hearth_query_run* runs, size_t run_count,
                             const hearth_cached_layer* layer) {
  attention a = {.layer = layer, .runs = runs, .run_count = run_count};
  size_t products = 0, prepared = 0;
  for (size_t r = 0; r < run_count; r++) {
    products += runs[r].count * (runs[r].first + runs[r].count) * layer->heads * layer->head_width;
    if (is_long(&runs[r])) prepared += runs[r].count;
  }
  if (prepared > 0) {
    atomic_init(&a.next, 0);
    hearth_pool_share(pool_for(pool, prepared * layer->heads * layer->head_width), prepare_task, &a);
  }
  // Below this many products, waking the workers costs more than they save.
  atomic_init(&a.next, 0);
  hearth_pool_share(pool_for(pool, products / 4), attend_task, &a);
}
