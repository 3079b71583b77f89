#include <stdatomic.h>

#include "check.h"

// The pool of threads. Emulation on x86 orders memory as x86 does, so this says that it works at all, on AArch64's instructions.

typedef struct {
  size_t cells[4 * 16];  ///< one a cache line, written without atomics
  atomic_size_t next;
  size_t items;
  unsigned char done[512];
} job;

static void mark_own(void* context, int index, int count) {
  job* j = context;
  (void)count;
  j->cells[16 * index]++;
}

static void take_some(void* context, int index, int count) {
  job* j = context;
  (void)index, (void)count;
  for (size_t item; (item = atomic_fetch_add_explicit(&j->next, 1, memory_order_relaxed)) < j->items;) j->done[item]++;
}

void check_threads(bool quick) {
  const size_t rounds = quick ? 2000 : 20000;
  for (int threads = 1; threads <= 4; threads++) {
    hearth_pool* pool = hearth_pool_create(threads);
    if (!expect(pool != NULL, "no pool of %d threads", threads)) return;
    job j = {0};
    for (size_t round = 0; round < rounds; round++) {
      hearth_pool_run(pool, mark_own, &j);
      for (int i = 0; i < threads; i++)
        if (!expect(j.cells[16 * i] == round + 1, "round %zu: worker %d of %d", round, i, threads)) return;
    }
    for (size_t round = 0; round < rounds; round++) {
      job shared = {.items = round % 512};
      hearth_pool_share(pool, take_some, &shared);
      for (size_t i = 0; i < 512; i++)
        if (!expect(shared.done[i] == (i < shared.items), "round %zu: item %zu, %d threads", round, i, threads)) return;
    }
    hearth_pool_destroy(pool);
  }
  expect(hearth_available_threads() >= 1, "no thread is available");
}
