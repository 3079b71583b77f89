#include "../include/elementwise.h"
#include "lanes.h"

// Dropout by Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011):
// which elements stay follows from (seed, stream, i) alone, so nothing is stored for the backward pass.

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

/// `hearth_philox` for BLOCKS consecutive counters from `first` on.
HEARTH_INLINE void philox_blocks(uint32_t words[BLOCKS][4], uint64_t first, uint64_t stream, uint64_t seed) {
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
  for (int block = 0; block < BLOCKS; block++) {
    words[block][0] = (uint32_t)c0[block];
    words[block][1] = (uint32_t)c1[block];
    words[block][2] = (uint32_t)c2[block];
    words[block][3] = (uint32_t)c3[block];
  }
}

typedef struct {
  float* x;
  size_t count;
  uint64_t seed, stream, threshold;
  float scale;
} dropout;

HEARTH_INLINE void dropout_task_body(void* context, int index, int count) {
  const dropout* d = context;
  const size_t step = 4 * BLOCKS;
  hearth_share share = share_of(d->count, step, index, count);
  for (size_t from = share.from; from < share.to; from += step) {
    uint32_t words[BLOCKS][4];
    philox_blocks(words, from / 4, d->stream, d->seed);
    const uint32_t* word = words[0];
    float* x = d->x + from;
    size_t here = share.to - from < step ? share.to - from : step;
    for (size_t i = 0; i < here; i++) x[i] = word[i] >= d->threshold ? x[i] * d->scale : 0;
  }
}
HEARTH_KERNEL(dropout_task)

void hearth_dropout(hearth_pool* pool, float* x, size_t count, float probability, uint64_t seed,
                    uint64_t stream) {
  if (!(probability > 0)) return;
  if (probability > 1) probability = 1;
  // In 64 bits, for a probability of 1 needs 2^32: no word reaches it and all elements go.
  dropout d = {.x = x, .count = count, .seed = seed, .stream = stream,
               .threshold = (uint64_t)((double)probability * 0x1p32),
               .scale = probability < 1 ? 1 / (1 - probability) : 0};
  hearth_pool_run(pool_for(pool, count), dropout_task, &d);
}
