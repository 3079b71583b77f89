#include <string.h>

#include "rates.h"

// Rates of attention over the paged cache beside what registers allow, with the heads of SmolLM2-135M (9 query heads of width 64 on 3
// key heads) and of Llama 3 8B (32 of width 128 on 8).

typedef struct {
  const char* what;
  size_t heads, key_value_heads, width;
} shape;

static const shape shapes[] = {{"SmolLM2-135M", 9, 3, 64}, {"Llama 3 8B", 32, 8, 128}};

static float* random_floats(size_t count) {
  float* x = aligned_alloc(64, (count * sizeof *x + 63) / 64 * 64);
  if (x == NULL) exit(1);
  for (size_t i = 0; i < count; i++) x[i] = noise();
  return x;
}

/// `count` queries at the end of `context` positions.
static void measure(hearth_pool* pool, const shape* s, size_t context, size_t count) {
  size_t queries = s->heads * s->width, keys = s->key_value_heads * s->width;
  size_t page_count = (context + HEARTH_PAGE_TOKENS - 1) / HEARTH_PAGE_TOKENS;
  size_t bytes = hearth_page_layer_bytes(s->key_value_heads, s->width, HEARTH_CACHE_F16);
  void** pages = calloc(page_count, sizeof *pages);
  if (pages == NULL) exit(1);
  for (size_t i = 0; i < page_count; i++) {
    pages[i] = aligned_alloc(64, bytes);
    // What stands before is zeros, over which attention takes as long as over any.
    if (pages[i] != NULL) memset(pages[i], 0, bytes);
  }
  float *q = random_floats(count * queries), *y = random_floats(count * queries);
  float* k = random_floats(count * keys);
  const hearth_cached_layer layer = {.heads = s->heads, .key_value_heads = s->key_value_heads,
                                     .head_width = s->width, .scale = 0.125f, .ldq = queries,
                                     .ldk = keys, .ldy = queries, .type = HEARTH_CACHE_F16};
  hearth_query_run run = {.q = q, .y = y, .k = k, .v = k, .pages = pages, .count = count,
                          .first = context - count};
  double best;
  SHORTEST(best, hearth_cached_attention(pool, &run, 1, &layer));
  double pairs = (double)count * ((double)context - (double)count / 2);
  double rate = 4 * pairs * (double)queries / best, ceiling = fma_ceiling(pool);
  printf("  %-12s %5zu queries of %5zu positions: %7.3f ms, %5.1f GFLOP/s = %2.0f %% of %.0f, %.1f GB/s\n",
         s->what, count, context, best * 1e3, rate / 1e9, 100 * rate / ceiling, ceiling / 1e9,
         (double)(page_count * bytes) / best / 1e9);
  for (size_t i = 0; i < page_count; i++) free(pages[i]);
  free(pages), free(q), free(y), free(k);
}

int main(void) {
  for (int threads = 1; threads <= hearth_available_threads(); threads++) {
    hearth_pool* pool = hearth_pool_create(threads);
    printf("%d threads, %s\n", threads, hearth_isa_name(hearth_isa_current()));
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
      measure(pool, &shapes[i], 512, 512);
      measure(pool, &shapes[i], 4096, 512);
      measure(pool, &shapes[i], 512, 1);
      measure(pool, &shapes[i], 4096, 1);
    }
    hearth_pool_destroy(pool);
  }
}
