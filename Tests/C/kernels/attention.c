#include <math.h>

#include "check.h"

// Attention over the paged cache, and over whole sequences with its gradients.

typedef struct {
  size_t heads, key_value_heads, width, tokens;
  hearth_cache_type type;
  const size_t* chunks;  ///< in which the sequence arrives, ending with 0
  const float *q, *k, *v;
  float scale;
} cached;

enum { OFFSET = 128, PAGES = 8 };

static cached cached_of(size_t heads, size_t key_value_heads, size_t width, size_t tokens, hearth_cache_type type) {
  noise source = noise_of(heads * 1000 + width);
  return (cached){.heads = heads, .key_value_heads = key_value_heads, .width = width, .tokens = tokens, .type = type,
                  .q = noise_array(&source, tokens * heads * width, 2),
                  .k = noise_array(&source, tokens * key_value_heads * width, 2),
                  .v = noise_array(&source, tokens * key_value_heads * width, 1), .scale = 1 / sqrtf((float)width)};
}

static void attend(result* out, hearth_pool* pool, const void* example) {
  const cached* c = example;
  const size_t page_bytes = OFFSET + hearth_page_layer_bytes(c->key_value_heads, c->width, c->type);
  void* pages[PAGES];
  for (size_t i = 0; i < PAGES; i++) {
    pages[i] = aligned_alloc(64, (page_bytes + 63) / 64 * 64);
    if (pages[i] == NULL) exit(2);
    // NaN, as if another sequence had left it.
    memset(pages[i], 0xff, page_bytes);
  }
  const size_t row = c->heads * c->width, key_row = c->key_value_heads * c->width;
  float* y = malloc(c->tokens * row * sizeof *y);
  if (y == NULL) exit(2);
  size_t whole[] = {c->tokens, 0}, first = 0;
  for (const size_t* chunk = c->chunks ? c->chunks : whole; *chunk > 0; first += *chunk++) {
    hearth_cache_store(pool, pages, OFFSET, c->type, c->k + first * key_row, c->v + first * key_row, key_row, first, *chunk,
                       c->key_value_heads, c->width);
    hearth_query_run run = {.q = c->q + first * row, .y = y + first * row, .pages = pages, .count = *chunk, .first = first};
    hearth_cached_attention(pool, &run, 1, row, row, OFFSET, c->type, c->heads, c->key_value_heads, c->width, c->scale);
  }
  put_bytes(out, y, c->tokens * row * sizeof *y);
  free(y);
  for (size_t i = 0; i < PAGES; i++) free(pages[i]);
}

/// Several sequences of different lengths in one call, a token and a chunk at a time.
static void attend_batch(result* out, hearth_pool* pool, const void* example) {
  const cached* c = example;
  enum { SEQUENCES = 3 };
  static const size_t lengths[SEQUENCES] = {1, 40, 33};
  static const size_t counts[SEQUENCES] = {1, 1, 9};
  const size_t page_bytes = (OFFSET + hearth_page_layer_bytes(c->key_value_heads, c->width, c->type) + 63) / 64 * 64;
  const size_t row = c->heads * c->width, key_row = c->key_value_heads * c->width;
  void* pages[SEQUENCES][2];
  hearth_query_run runs[SEQUENCES];
  float* y = calloc(SEQUENCES * 9 * row, sizeof *y);
  if (y == NULL) exit(2);
  for (size_t s = 0; s < SEQUENCES; s++) {
    for (size_t i = 0; i < 2; i++) {
      pages[s][i] = aligned_alloc(64, page_bytes);
      if (pages[s][i] == NULL) exit(2);
      memset(pages[s][i], 0xff, page_bytes);
    }
    hearth_cache_store(pool, pages[s], OFFSET, c->type, c->k + s * key_row, c->v + s * key_row, key_row, 0, lengths[s],
                       c->key_value_heads, c->width);
    runs[s] = (hearth_query_run){.q = c->q + s * row, .y = y + 9 * s * row, .pages = pages[s], .count = counts[s],
                                 .first = lengths[s] - counts[s]};
  }
  hearth_cached_attention(pool, runs, SEQUENCES, row, row, OFFSET, c->type, c->heads, c->key_value_heads, c->width, c->scale);
  put_bytes(out, y, SEQUENCES * 9 * row * sizeof *y);
  free(y);
  for (size_t s = 0; s < SEQUENCES; s++)
    for (size_t i = 0; i < 2; i++) free(pages[s][i]);
}

static void attend_and_back(result* out, hearth_pool* pool, const void* example) {
  const cached* c = example;
  static const int32_t starts[] = {0, 1, 36, 68};
  const size_t sequences = 3, tokens = 68;
  const size_t count = tokens * c->heads * c->width, key_count = tokens * c->key_value_heads * c->width;
  noise source = noise_of(21);
  const float* dy = noise_array(&source, count, 1);
  for (int causal = 0; causal < 2; causal++) {
    float *y = keep(count * sizeof *y), *log_sum = keep(tokens * c->heads * sizeof *y);
    float *dq = keep(count * sizeof *y), *dk = keep(key_count * sizeof *y), *dv = keep(key_count * sizeof *y);
    hearth_attention(pool, y, log_sum, c->q, c->k, c->v, starts, sequences, c->heads, c->key_value_heads, c->width, c->scale,
                     causal);
    hearth_attention_backward(pool, dq, dk, dv, dy, y, log_sum, c->q, c->k, c->v, starts, sequences, c->heads,
                              c->key_value_heads, c->width, c->scale, causal);
    put_bytes(out, y, count * sizeof *y);
    put_bytes(out, log_sum, tokens * c->heads * sizeof *y);
    put_bytes(out, dq, count * sizeof *y);
    put_bytes(out, dk, key_count * sizeof *y);
    put_bytes(out, dv, key_count * sizeof *y);
  }
}

/// One f32 sequence through the cache has the bits of the training attention; cut in pieces it keeps them.
static void check_equalities(const cached* c) {
  const int32_t starts[] = {0, (int32_t)c->tokens};
  const size_t count = c->tokens * c->heads * c->width;
  float* y = keep(count * sizeof *y);
  hearth_attention(NULL, y, NULL, c->q, c->k, c->v, starts, 1, c->heads, c->key_value_heads, c->width, c->scale, true);
  static const size_t cuts[][8] = {{1, 66, 0}, {31, 1, 1, 31, 3, 0}, {32, 32, 3, 0}};
  for (size_t i = 0; i < 4; i++) {
    cached cut = *c;
    if (i > 0) cut.chunks = cuts[i - 1];
    result through = {0};
    attend(&through, NULL, &cut);
    expect(through.count == count * 4 && same_bits(y, (const float*)(const void*)through.bytes, count),
           "cached attention of width %zu, cut %zu, is not training's", c->width, i);
    free(through.bytes);
  }
}

void check_attention(bool quick) {
  static const size_t shapes[][3] = {{4, 2, 1}, {3, 1, 4}, {2, 2, 5}, {6, 2, 8}, {2, 1, 48}, {9, 3, 64}, {2, 1, 512}};
  static const size_t steps[] = {40, 1, 1, 1, 6, 1, 17, 0};
  for (size_t i = 0; i < (quick ? 6 : 7); i++) {
    for (int type = 0; type < 2; type++) {
      cached c = cached_of(shapes[i][0], shapes[i][1], shapes[i][2], 67, (hearth_cache_type)type);
      const char* name = type == HEARTH_CACHE_F16 ? "f16" : "f32";
      everywhere(attend, &c, "attention over %s, heads of %zu", name, c.width);
      cached stepwise = c;
      stepwise.chunks = steps;
      everywhere(attend, &stepwise, "the same step by step");
      everywhere(attend_batch, &c, "the same in a batch");
      if (type == HEARTH_CACHE_F32) check_equalities(&c);
      forget();
    }
    cached c = cached_of(shapes[i][0], shapes[i][1], shapes[i][2], 68, HEARTH_CACHE_F32);
    if (c.width < 512) everywhere(attend_and_back, &c, "training attention, heads of %zu", c.width);
    forget();
  }
  // Keys and values that f16 does not hold.
  cached c = cached_of(2, 1, 24, 67, HEARTH_CACHE_F16);
  float* v = (float*)(uintptr_t)c.v;
  for (size_t i = 0; i < 67 * 24; i += 5) v[i] *= i % 2 ? 1e6f : 1e-7f;
  v[100] = INFINITY, v[101] = -INFINITY;
  everywhere(attend, &c, "attention over numbers that f16 saturates");
  forget();
}
