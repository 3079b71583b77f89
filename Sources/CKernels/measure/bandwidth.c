#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "../include/measure.h"

enum { LINE = 64, PREFETCH = 640, HUGE_PAGE = 2 << 20 };

typedef struct {
  const uint8_t* bytes;
  size_t count;
} reading;

static void read_share(void* context, int index, int count) {
  const reading* r = context;
  size_t lines = r->count / LINE;
  const uint8_t* from = r->bytes + lines * (size_t)index / (size_t)count * LINE;
  const uint8_t* to = r->bytes + lines * ((size_t)index + 1) / (size_t)count * LINE;
  uint64_t sum[8] = {0};
  for (; from < to; from += LINE) {
    // As the kernels do: the processor's own prefetching stops at pages.
    __builtin_prefetch(from + PREFETCH);
    for (int i = 0; i < 8; i++) {
      uint64_t word;
      memcpy(&word, from + 8 * i, sizeof word);
      sum[i] ^= word;
    }
  }
  for (int i = 1; i < 8; i++) sum[0] ^= sum[i];
  // The sum is wanted, as far as the compiler can tell.
  __asm__ volatile("" : : "r"(sum[0]));
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void write_share(void* context, int index, int count) {
  const reading* r = context;
  size_t lines = r->count / LINE;
  size_t from = lines * (size_t)index / (size_t)count, to = lines * ((size_t)index + 1) / (size_t)count;
  memset((uint8_t*)(uintptr_t)r->bytes + from * LINE, 1, (to - from) * LINE);
}

double hearth_read_bandwidth(hearth_pool* pool, size_t bytes, int rounds) {
  bytes = bytes / HUGE_PAGE * HUGE_PAGE;
  if (bytes == 0) return 0;
  uint8_t* memory = aligned_alloc(HUGE_PAGE, bytes);
  if (memory == NULL) return 0;
#ifdef MADV_HUGEPAGE
  // As weights are held; in small pages this would measure the address cache.
  (void)madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  reading r = {memory, bytes};
  // Pages that were never written all are the one page of zeros.
  hearth_pool_run(pool, write_share, &r);
  double shortest = 0;
  for (int i = 0; i < rounds; i++) {
    double start = now();
    hearth_pool_run(pool, read_share, &r);
    double seconds = now() - start;
    if (i == 0 || seconds < shortest) shortest = seconds;
  }
  free(memory);
  return shortest > 0 ? (double)bytes / shortest : 0;
}
