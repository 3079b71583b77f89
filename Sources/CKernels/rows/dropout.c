#include "../include/elementwise.h"
#include "lanes.h"

// Dropout by Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
// 2011): which elements stay follows from (seed, stream, i) alone, so nothing is stored for the
// backward pass.

#define PHILOX_ROUNDS 10
#define PHILOX_MULTIPLIER0 0xD2511F53u
#define PHILOX_MULTIPLIER1 0xCD9E8D57u
#define PHILOX_WEYL0 0x9E3779B9u
#define PHILOX_WEYL1 0xBB67AE85u

void hearth_philox(uint32_t words[4], const uint32_t counter[4], const uint32_t key[2]) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < PHILOX_ROUNDS; round++) {
    uint64_t product0 = (uint64_t)PHILOX_MULTIPLIER0 * c0;
    uint64_t product1 = (uint64_t)PHILOX_MULTIPLIER1 * c2;
    c0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
    c1 = (uint32_t)product1;
    c2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
    c3 = (uint32_t)product0;
    k0 += PHILOX_WEYL0;
    k1 += PHILOX_WEYL1;
  }
  words[0] = c0, words[1] = c1, words[2] = c2, words[3] = c3;
}

/// Counters side by side in the vector version, each in the low half of 64 bits.
#define BLOCKS 8
typedef uint64_t counters __attribute__((ext_vector_type(BLOCKS)));
typedef uint32_t narrow_counters __attribute__((ext_vector_type(BLOCKS)));

/// `hearth_philox` for BLOCKS consecutive counters from `first` on.
HEARTH_INLINE void philox_blocks(uint32_t words[BLOCKS][4], uint64_t first, uint64_t stream,
                                 uint64_t seed) {
  const uint64_t low = 0xFFFFFFFFu;
  counters number = (counters){0, 1, 2, 3, 4, 5, 6, 7} + first;
  counters c0 = number & low, c1 = number >> 32, c2 = stream & low, c3 = stream >> 32;
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  for (int round = 0; round < PHILOX_ROUNDS; round++) {
    counters product0 = (c0 & low) * (uint64_t)PHILOX_MULTIPLIER0;
    counters product1 = (c2 & low) * (uint64_t)PHILOX_MULTIPLIER1;
    c0 = (product1 >> 32) ^ c1 ^ (uint64_t)k0;
    c1 = product1 & low;
    c2 = (product0 >> 32) ^ c3 ^ (uint64_t)k1;
    c3 = product0 & low;
    k0 += PHILOX_WEYL0;
    k1 += PHILOX_WEYL1;
  }
  // Counter by counter, its four words in order.
  narrow_counters n0 = __builtin_convertvector(c0, narrow_counters);
  narrow_counters n1 = __builtin_convertvector(c1, narrow_counters);
  narrow_counters n2 = __builtin_convertvector(c2, narrow_counters);
  narrow_counters n3 = __builtin_convertvector(c3, narrow_counters);
  uint32_t __attribute__((ext_vector_type(2 * BLOCKS))) front, back;
  front = __builtin_shufflevector(n0, n1, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
  back = __builtin_shufflevector(n2, n3, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
  uint32_t __attribute__((ext_vector_type(4 * BLOCKS))) all =
      __builtin_shufflevector(front, back, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23,
                              8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31);
  memcpy(words, &all, sizeof all);
}

typedef uint32_t word_lanes __attribute__((ext_vector_type(LANE_COUNT)));

typedef struct {
  float* x;
  size_t count;
  uint64_t seed, stream;
  uint32_t largest_dropped;
  float scale;
} dropout;

HEARTH_INLINE void dropout_task_body(void* context, int index, int count) {
  const dropout* d = context;
  const size_t step = 4 * BLOCKS;
  hearth_share share = share_of(d->count, step, index, count);
  for (size_t from = share.from; from < share.to; from += step) {
    uint32_t words[BLOCKS][4];
    philox_blocks(words, from / 4, d->stream, d->seed);
    for (size_t i = from; i < share.to && i < from + step; i += LANE_COUNT) {
      word_lanes word;
      memcpy(&word, words[(i - from) / 4], sizeof word);
      lanes kept = lanes_load_first(d->x + i, share.to - i, 0) * d->scale;
      kept = word <= d->largest_dropped ? (lanes)(0.0f) : kept;
      lanes_store_first(d->x + i, kept, share.to - i);
    }
  }
}
HEARTH_KERNEL(dropout_task)

void hearth_dropout(hearth_pool* pool, float* x, size_t count, float probability, uint64_t seed,
                    uint64_t stream) {
  if (!(probability > 0)) return;
  if (probability > 1) probability = 1;
  // Words below the threshold go. It is up to 2^32, so the largest that goes is kept instead.
  uint64_t threshold = (uint64_t)((double)probability * 0x1p32);
  if (threshold == 0) threshold = 1;
  dropout d = {.x = x, .count = count, .seed = seed, .stream = stream,
               .largest_dropped = (uint32_t)(threshold - 1),
               .scale = probability < 1 ? 1 / (1 - probability) : 0};
  hearth_pool_run(pool_for(pool, count), dropout_task, &d);
}
