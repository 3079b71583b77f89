#include "attention.h"

#include <stdatomic.h>

// The gradients of attention, recomputing the probabilities block by block:
//
//     P = e^(S − log_sum)      S = scale·q·kᵀ      D = Σ_i dy_i·y_i
//     dv = Pᵀ·dy      dS = P ∘ (dy·vᵀ − D)      dq = scale·dS·k      dk = scale·dSᵀ·q
//
// Dao, "FlashAttention-2" (arXiv:2307.08691), algorithm 2. A unit of work is one key/value head of one sequence, done by one
// worker: dk and dv of a key add its queries in order, dq of a query adds the keys in order.

enum { BLOCK = 6 * QUERIES };  ///< queries whose probabilities are gathered before they meet dy and q

typedef struct {
  const arguments* a;
  atomic_size_t next;
} backward;

/// What a unit works with: of fixed size, and by its queries.
typedef struct {
  _Alignas(64) float scores[KEYS * QUERIES], dscores[KEYS * QUERIES];
  _Alignas(64) uint16_t probabilities[KEYS * BLOCK], dsoft[KEYS * BLOCK];      ///< [keys, BLOCK]
  _Alignas(64) uint16_t panels[BLOCK / QUERIES][KEYS * QUERIES];               ///< of dS: [pairs of keys, queries]
  _Alignas(64) uint16_t keys[(WIDTH_MAXIMUM + 16) * KEYS];                     ///< turned: [width, KEYS]
  _Alignas(64) float dk[WIDTH_MAXIMUM * KEYS], dv[WIDTH_MAXIMUM * KEYS];       ///< [panels of the width, KEYS, 32]
  _Alignas(64) uint16_t copy[QUERIES * (WIDTH_MAXIMUM + 16)];
  uint16_t *q, *dy;              ///< panels with queries as lanes: [panels, pairs of the width, 32]
  uint16_t *q_turned, *dy_turned;  ///< rows: [queries, even(width)]; panels with the width as lanes are cut from them
  uint16_t *q_deep, *dy_deep;    ///< those: [blocks, panels of the width, pairs of queries, 32]
  float* dq;                     ///< [panels, width, 32]
  float *log_sum, *products;     ///< [panels, 32]: D
} unit;

static size_t pairs_of(size_t width) { return (width + 15) / 16 * 8; }

/// Panels with the width as lanes of one block of queries.
static size_t width_panels(const arguments* a) { return (a->head_width + HEARTH_BF16_LANES - 1) / HEARTH_BF16_LANES; }

HEARTH_INLINE void prepare(const arguments* a, unit* u, size_t sequence, size_t head) {
  const size_t width = a->head_width, ld = even(width), rows = length_of(a, sequence) * group_of(a);
  const size_t panels = panels_of(a, sequence);
  for (size_t panel = first_panel_of(a, sequence); panel < panels; panel++) {
    const size_t first = panel * QUERIES, count = rows - first < QUERIES ? rows - first : QUERIES;
    uint16_t *q = u->q_turned + first * ld, *dy = u->dy_turned + first * ld;
    query_panel(a, a->q, sequence, head, first, count, q, u->q + panel * pairs_of(width) * 2 * QUERIES);
    query_panel(a, a->dy, sequence, head, first, count, dy, u->dy + panel * pairs_of(width) * 2 * QUERIES);
    for (size_t row = 0; row < count; row++)
      prefetch_row(a->y + query_at(a, sequence, head, first + row, a->ldq, width), width);
    for (size_t row = 0; row < QUERIES; row++) {
      float sum = 0, log_sum = 0;
      if (row < count) {
        const uint16_t* y = a->y + query_at(a, sequence, head, first + row, a->ldq, width);
        lanes products = 0;
        for (size_t i = 0; i < width; i += LANE_COUNT)
          products = lanes_fma(lanes_widened(halves_load_first(dy + row * ld + i, width - i)),
                               lanes_widened(halves_load_first(y + i, width - i)), products);
        sum = lanes_sum(products);
        log_sum = a->log_sum[query_at(a, sequence, head, first + row, a->heads, 1)];
      }
      u->products[first + row] = sum;
      u->log_sum[first + row] = log_sum;
    }
  }
  for (size_t block = first_panel_of(a, sequence) / (BLOCK / QUERIES); block * BLOCK < rows; block++)
    for (size_t i = 0; i < width_panels(a); i++) {
      const size_t first = block * BLOCK, lane = i * HEARTH_BF16_LANES, left = width - lane;
      hearth_bf16_cut cut = {.lane = lane, .lanes = left < HEARTH_BF16_LANES ? left : HEARTH_BF16_LANES,
                             .start = first, .depth = rows - first < BLOCK ? rows - first : BLOCK,
                             .width = HEARTH_BF16_LANES};
      const size_t at = (block * width_panels(a) + i) * BLOCK * HEARTH_BF16_LANES;
      hearth_operand q = {.kind = HEARTH_OPERAND_BF16, .data = u->q_turned, .ld = ld, .transposed = true}, dy = q;
      dy.data = u->dy_turned;
      cut.operand = &q, cut.out = u->q_deep + at;
      hearth_bf16_fill(&cut);
      cut.operand = &dy, cut.out = u->dy_deep + at;
      hearth_bf16_fill(&cut);
    }
}

/// P and dS of `keys` keys from `start` on for one panel of queries; the keys after them see none of it.
HEARTH_INLINE void differentiate(const arguments* a, unit* u, size_t panel, size_t place, size_t start, size_t keys,
                                 size_t all, size_t rows, const bool native) {
  const size_t group = group_of(a), first = panel * QUERIES;
  for (size_t v = 0; v < 2; v++) {
    const size_t at = place * QUERIES + v * LANE_COUNT;
    integer_lanes seen = positions_of(group, first + v * LANE_COUNT) - (int32_t)start + 1;
    integer_lanes exists = lanes_numbers() + (int32_t)(first + v * LANE_COUNT) < (int32_t)rows;
    lanes log_sum = lanes_load(u->log_sum + first + v * LANE_COUNT);
    lanes products = lanes_load(u->products + first + v * LANE_COUNT);
    half_lanes before = 0;
    for (size_t key = 0; key < all + all % 2; key++) {
      half_lanes p = 0, ds = 0;
      if (key < keys) {
        integer_lanes counts = a->causal ? exists & ((integer_lanes)((int32_t)key) < seen) : exists;
        lanes probability = lanes_exp(lanes_load(u->scores + key * QUERIES + v * LANE_COUNT) * a->scale - log_sum);
        probability = counts ? probability : (lanes)(0.0f);
        p = lanes_rounded(probability, native);
        lanes slope = lanes_load(u->dscores + key * QUERIES + v * LANE_COUNT) - products;
        ds = lanes_rounded(counts ? probability * slope : (lanes)(0.0f), native);
      }
      if (key < all) {
        halves_store_first(u->probabilities + key * BLOCK + at, p, LANE_COUNT);
        halves_store_first(u->dsoft + key * BLOCK + at, ds, LANE_COUNT);
      }
      if (key % 2 == 0)
        before = ds;
      else
        store_pairs(u->panels[place] + (key - 1) * QUERIES + v * 2 * LANE_COUNT, before, ds);
    }
  }
}

/// k of a block, turned: [width, KEYS], the keys beyond the last zero.
HEARTH_INLINE void turn_keys(const arguments* a, unit* u, size_t sequence, size_t head, size_t start, size_t keys) {
  const uint16_t* k = a->k + key_at(a, sequence, head, start);
  for (size_t key = 0; key < KEYS; key += 16)
    for (size_t i = 0; i < a->head_width; i += 16) {
      half_lanes x[16];
      for (size_t j = 0; j < 16; j++)
        x[j] = key + j < keys ? halves_load_first(k + (key + j) * a->ldk + i, a->head_width - i) : (half_lanes)(0);
      turn_sixteen(x);
      for (size_t j = 0; j < 16; j++) halves_store_first(u->keys + (i + j) * KEYS + key, x[j], LANE_COUNT);
    }
}

HEARTH_INLINE void write_keys(const arguments* a, uint16_t* to, const float* sums, size_t keys, float scale,
                              const bool native) {
  for (size_t key = 0; key < keys; key++)
    for (size_t i = 0; i < a->head_width; i += LANE_COUNT) {
      const float* from = sums + (i / HEARTH_BF16_LANES * KEYS + key) * HEARTH_BF16_LANES + i % HEARTH_BF16_LANES;
      halves_store_first(to + key * a->ldk + i, lanes_rounded(lanes_load(from) * scale, native), a->head_width - i);
    }
}

/// A block of keys meets a block of queries.
HEARTH_INLINE void exchange(const arguments* a, unit* u, size_t sequence, size_t head, size_t start, size_t keys,
                            size_t block, size_t from, bool begins, const bool native) {
  const size_t width = a->head_width, rows = length_of(a, sequence) * group_of(a), panels = panels_of(a, sequence);
  const size_t first = block * (BLOCK / QUERIES), pairs = even(width) / 2, panel_size = pairs_of(width) * 2 * QUERIES;
  for (size_t panel = from; panel < panels && panel < first + BLOCK / QUERIES; panel++) {
    size_t last = (panel + 1) * QUERIES < rows ? (panel + 1) * QUERIES - 1 : rows - 1, seen = keys;
    if (a->causal && last / group_of(a) - start + 1 < seen) seen = last / group_of(a) - start + 1;
    const size_t at = key_at(a, sequence, head, start);
    hearth_bf16_tile tile = {.a = a->k + at, .lda = a->ldk, .rows = seen, .pairs = pairs,
                             .panel = u->q + panel * panel_size, .lanes = QUERIES, .sums = u->scores, .begins = true};
    hearth_bf16_multiply(&tile);
    tile.a = a->v + at, tile.panel = u->dy + panel * panel_size, tile.sums = u->dscores;
    hearth_bf16_multiply(&tile);
    differentiate(a, u, panel, panel - first, start, seen, keys, rows, native);
    hearth_bf16_multiply(&(hearth_bf16_tile){.a = u->keys, .lda = KEYS, .rows = width, .pairs = even(keys) / 2,
                                             .panel = u->panels[panel - first], .lanes = QUERIES,
                                             .sums = u->dq + panel * width * QUERIES, .begins = start == 0});
  }
  // Whole pairs of queries, from the first panel that sees these keys.
  const size_t skipped = (from - first) * QUERIES, left = rows - first * QUERIES, count = left < BLOCK ? left : BLOCK;
  for (size_t i = 0; i < width_panels(a); i++) {
    const size_t deep = (block * width_panels(a) + i) * BLOCK * HEARTH_BF16_LANES + skipped * HEARTH_BF16_LANES;
    hearth_bf16_tile tile = {.a = u->probabilities + skipped, .lda = BLOCK, .rows = keys,
                             .pairs = even(count - skipped) / 2, .panel = u->dy_deep + deep,
                             .lanes = HEARTH_BF16_LANES, .sums = u->dv + i * KEYS * HEARTH_BF16_LANES,
                             .begins = begins};
    hearth_bf16_multiply(&tile);
    tile.a = u->dsoft + skipped, tile.panel = u->q_deep + deep, tile.sums = u->dk + i * KEYS * HEARTH_BF16_LANES;
    hearth_bf16_multiply(&tile);
  }
}

HEARTH_INLINE void differentiate_unit(const arguments* a, unit* u, size_t sequence, size_t head, const bool native) {
  const size_t length = length_of(a, sequence), rows = length * group_of(a), panels = panels_of(a, sequence);
  const size_t wanted = first_panel_of(a, sequence);
  prepare(a, u, sequence, head);
  for (size_t start = 0; start < length; start += KEYS) {
    const size_t keys = length - start < KEYS ? length - start : KEYS;
    for (size_t key = 0; key < keys; key++) {
      prefetch_row(a->k + key_at(a, sequence, head, start + key), a->head_width);
      prefetch_row(a->v + key_at(a, sequence, head, start + key), a->head_width);
    }
    turn_keys(a, u, sequence, head, start, keys);
    // Queries before the block see nothing of it.
    const size_t seeing = a->causal ? start * group_of(a) / QUERIES : 0, from = seeing > wanted ? seeing : wanted;
    bool begins = true;
    for (size_t block = from / (BLOCK / QUERIES); from < panels && block * BLOCK < rows; block++) {
      const size_t first = block * (BLOCK / QUERIES);
      exchange(a, u, sequence, head, start, keys, block, from > first ? from : first, begins, native);
      begins = false;
    }
    if (begins) {
      memset(u->dk, 0, sizeof u->dk);
      memset(u->dv, 0, sizeof u->dv);
    }
    const size_t at = key_at(a, sequence, head, start);
    write_keys(a, a->dk + at, u->dk, keys, a->scale, native);
    write_keys(a, a->dv + at, u->dv, keys, 1, native);
  }
  const lanes factor[2] = {a->scale, a->scale};
  for (size_t panel = wanted; panel < panels; panel++) {
    const size_t first = panel * QUERIES, count = rows - first < QUERIES ? rows - first : QUERIES;
    write_queries(a, a->dq, sequence, head, first, count, u->dq + panel * a->head_width * QUERIES, factor, native);
  }
}

HEARTH_INLINE void backward_task_body(void* context, int index, int count, const bool native) {
  (void)index, (void)count, (void)native;
  backward* t = context;
  const arguments* a = t->a;
  size_t panels = 0;
  for (size_t s = 0; s < a->sequences; s++)
    if (panels_of(a, s) > panels) panels = panels_of(a, s);
  const size_t width = a->head_width, blocks = (panels + BLOCK / QUERIES - 1) / (BLOCK / QUERIES);
  const size_t rows = panels * QUERIES, by_lane = rows * pairs_of(width), deep = blocks * width_panels(a) * BLOCK * 16;
  const size_t floats = 2 * (by_lane + rows * even(width) / 2 + deep) + rows * (width + 2);
  unit* u = hearth_bf16_scratch(sizeof *u + floats * sizeof(float));
  float* next = (float*)(void*)(u + 1);
#define TAKE(COUNT) (next += (COUNT), next - (COUNT))
  u->q = (uint16_t*)TAKE(by_lane), u->dy = (uint16_t*)TAKE(by_lane);
  u->q_deep = (uint16_t*)TAKE(deep), u->dy_deep = (uint16_t*)TAKE(deep);
  u->dq = TAKE(rows * width), u->log_sum = TAKE(rows), u->products = TAKE(rows);
  u->q_turned = (uint16_t*)TAKE(rows * even(width) / 2), u->dy_turned = (uint16_t*)TAKE(rows * even(width) / 2);
#undef TAKE
  const size_t units = a->sequences * a->key_value_heads;
  for (;;) {
    size_t number = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed);
    if (number >= units) break;
    differentiate_unit(a, u, number / a->key_value_heads, number % a->key_value_heads, native);
  }
}
HEARTH_BF16_KERNEL(backward_task)

void hearth_bf16_attention_backward(hearth_pool* pool, const hearth_bf16_attention_arguments* a) {
  backward t = {.a = a};
  atomic_init(&t.next, 0);
  hearth_pool_run(pool, backward_task, &t);
}
