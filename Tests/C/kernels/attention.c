#include <math.h>

#include "check.h"

// Attention over the paged cache, and over whole sequences with its gradients.

typedef struct {
  size_t heads, key_value_heads, width, tokens;
  hearth_cache_type type;
  const size_t* chunks;  ///< in which the sequence arrives, ending with 0
  const float *q, *k, *v;
  float scale;
  const float *cosines, *sines;  ///< or NULL
  hearth_rope_pairing pairing;
} cached;

enum { OFFSET = 128, PAGES = 3 };

static cached cached_of(size_t heads, size_t key_value_heads, size_t width, size_t tokens, hearth_cache_type type) {
  noise source = noise_of(heads * 1000 + width);
  return (cached){.heads = heads, .key_value_heads = key_value_heads, .width = width, .tokens = tokens, .type = type,
                  .q = noise_array(&source, tokens * heads * width, 2),
                  .k = noise_array(&source, tokens * key_value_heads * width, 2),
                  .v = noise_array(&source, tokens * key_value_heads * width, 1), .scale = 1 / sqrtf((float)width)};
}

static hearth_cached_layer layer_of(const cached* c) {
  return (hearth_cached_layer){.heads = c->heads, .key_value_heads = c->key_value_heads, .head_width = c->width,
                               .scale = c->scale, .ldq = c->heads * c->width, .ldk = c->key_value_heads * c->width,
                               .ldy = c->heads * c->width, .layer_offset = OFFSET, .type = c->type, .cosines = c->cosines,
                               .sines = c->sines, .pairing = c->pairing};
}

static float* copy_of(const float* values, size_t count) {
  float* copy = malloc(count * sizeof *copy);
  if (copy == NULL) exit(2);
  memcpy(copy, values, count * sizeof *copy);
  return copy;
}

/// Pages full of NaN, as if another sequence had left them.
static void make_pages(const cached* c, void* pages[PAGES]) {
  const size_t bytes = (OFFSET + hearth_page_layer_bytes(c->key_value_heads, c->width, c->type) + 63) / 64 * 64;
  for (size_t i = 0; i < PAGES; i++) {
    pages[i] = aligned_alloc(64, bytes);
    if (pages[i] == NULL) exit(2);
    memset(pages[i], 0xff, bytes);
  }
}

static void attend(result* out, hearth_pool* pool, const void* example) {
  const cached* c = example;
  const size_t row = c->heads * c->width, key_row = c->key_value_heads * c->width;
  const hearth_cached_layer layer = layer_of(c);
  void* pages[PAGES];
  make_pages(c, pages);
  // Queries and keys are turned in place.
  float *q = copy_of(c->q, c->tokens * row), *k = copy_of(c->k, c->tokens * key_row), *y = copy_of(c->q, c->tokens * row);
  size_t whole[] = {c->tokens, 0}, first = 0;
  for (const size_t* chunk = c->chunks ? c->chunks : whole; *chunk > 0; first += *chunk++) {
    hearth_query_run run = {.q = q + first * row, .k = k + first * key_row, .v = c->v + first * key_row,
                            .y = y + first * row, .pages = pages, .count = *chunk, .first = first};
    hearth_cached_attention(pool, &run, 1, &layer);
  }
  put_bytes(out, y, c->tokens * row * sizeof *y);
  free(q), free(k), free(y);
  for (size_t i = 0; i < PAGES; i++) free(pages[i]);
}

/// Several sequences of different lengths in one call: one row, a few, and more than a unit of work takes.
static void attend_batch(result* out, hearth_pool* pool, const void* example) {
  const cached* c = example;
  enum { SEQUENCES = 3, MOST = 12 };
  static const size_t lengths[SEQUENCES] = {1, 40, 33}, counts[SEQUENCES] = {1, 3, MOST};
  const size_t row = c->heads * c->width, key_row = c->key_value_heads * c->width;
  const hearth_cached_layer layer = layer_of(c);
  void* pages[SEQUENCES][PAGES];
  hearth_query_run runs[SEQUENCES];
  float *q[SEQUENCES], *k[SEQUENCES], *y[SEQUENCES];
  for (size_t s = 0; s < SEQUENCES; s++) {
    make_pages(c, pages[s]);
    // Each sequence begins elsewhere in the numbers; what came before its last rows is stored first.
    const size_t past = lengths[s] - counts[s];
    q[s] = copy_of(c->q + s * row, lengths[s] * row);
    k[s] = copy_of(c->k + s * key_row, lengths[s] * key_row);
    y[s] = copy_of(c->q, lengths[s] * row);
    runs[s] = (hearth_query_run){.q = q[s], .k = k[s], .v = c->v + s * key_row, .y = y[s], .pages = pages[s], .count = past};
    if (past > 0) hearth_cached_attention(pool, &runs[s], 1, &layer);
    runs[s] = (hearth_query_run){.q = q[s] + past * row, .k = k[s] + past * key_row, .v = c->v + (s + past) * key_row,
                                 .y = y[s] + past * row, .pages = pages[s], .count = counts[s], .first = past};
  }
  hearth_cached_attention(pool, runs, SEQUENCES, &layer);
  for (size_t s = 0; s < SEQUENCES; s++) {
    put_bytes(out, y[s], lengths[s] * row * sizeof **y);
    free(q[s]), free(k[s]), free(y[s]);
    for (size_t i = 0; i < PAGES; i++) free(pages[s][i]);
  }
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
    for (int type = 0; type < 3; type++) {
      cached c = cached_of(shapes[i][0], shapes[i][1], shapes[i][2], 67, (hearth_cache_type)type);
      static const char* const names[] = {"f32", "f16", "q8"};
      const char* name = names[type];
      everywhere(attend, &c, "attention over %s, heads of %zu", name, c.width);
      cached stepwise = c;
      stepwise.chunks = steps;
      everywhere(attend, &stepwise, "the same step by step");
      everywhere(attend_batch, &c, "the same in a batch");
      if (type == HEARTH_CACHE_F32) check_equalities(&c);
      if (c.width % 2 == 0) {
        noise source = noise_of(c.width);
        stepwise.cosines = noise_array(&source, c.tokens * c.width / 2, 1);
        stepwise.sines = noise_array(&source, c.tokens * c.width / 2, 1);
        for (int pairing = 0; pairing < 2; pairing++) {
          stepwise.pairing = (hearth_rope_pairing)pairing;
          everywhere(attend, &stepwise, "the same turning, pairing %d", pairing);
        }
      }
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
