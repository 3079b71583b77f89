#define _GNU_SOURCE
#include "weights.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, PAGE = 64 << 10, CHUNK = 32 << 20, ALIGNMENT = 64 };

struct hearth_weight_chunk {
  uint8_t* data;
  size_t bytes, used;
  size_t parts;  ///< not yet given back
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/// The chunk that small parts are taken from, or NULL. It holds a part of its own, so that it stays.
static hearth_weight_chunk* current;

static size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

static hearth_weight_chunk* chunk_create(size_t bytes) {
  hearth_weight_chunk* chunk = malloc(sizeof *chunk);
  if (chunk == NULL) return NULL;
  // One huge page more than needed, so that there is an aligned beginning; what is before and after it goes back.
  uint8_t* raw = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) {
    free(chunk);
    return NULL;
  }
  size_t before = rounded((uintptr_t)raw, HUGE_PAGE) - (uintptr_t)raw;
  if (before > 0) munmap(raw, before);
  if (before < HUGE_PAGE) munmap(raw + before + bytes, HUGE_PAGE - before);
  *chunk = (hearth_weight_chunk){.data = raw + before, .bytes = bytes};
#ifdef MADV_HUGEPAGE
  // A wish: where the system refuses, small pages do.
  (void)madvise(chunk->data, bytes, MADV_HUGEPAGE);
#endif
  return chunk;
}

static void leave(hearth_weight_chunk* chunk) {
  if (--chunk->parts > 0) return;
  munmap(chunk->data, chunk->bytes);
  free(chunk);
}

static hearth_weights take_from(hearth_weight_chunk* chunk, size_t bytes) {
  hearth_weights part = {chunk->data + chunk->used, bytes, chunk};
  chunk->used += bytes;
  chunk->parts++;
  return part;
}

static hearth_weights take_small(size_t bytes) {
  if (current == NULL || current->bytes - current->used < bytes) {
    hearth_weight_chunk* fresh = chunk_create(CHUNK);
    if (fresh == NULL) return (hearth_weights){0};
    fresh->parts = 1;
    if (current != NULL) leave(current);
    current = fresh;
  }
  return take_from(current, bytes);
}

hearth_weights hearth_weights_take(size_t bytes) {
  if (bytes > SIZE_MAX / 2) return (hearth_weights){0};
  bytes = rounded(bytes > 0 ? bytes : 1, ALIGNMENT);
  hearth_weights part = {0};
  pthread_mutex_lock(&mutex);
  if (bytes <= CHUNK / 4) {
    part = take_small(bytes);
  } else {
    // The end that fills no huge page lies in small ones, up to the largest that any system uses.
    hearth_weight_chunk* own = chunk_create(rounded(bytes, PAGE));
    if (own != NULL) part = take_from(own, bytes);
  }
  pthread_mutex_unlock(&mutex);
  return part;
}

void hearth_weights_give(hearth_weights part) {
  if (part.chunk == NULL) return;
  pthread_mutex_lock(&mutex);
  hearth_weight_chunk* chunk = part.chunk;
  // What was taken last can be taken again at once.
  if ((uint8_t*)part.data + part.bytes == chunk->data + chunk->used) chunk->used -= part.bytes;
  if (chunk == current && chunk->parts == 2 && chunk->used > 0) {
    // The last one: the chunk stays for others, its pages do not.
    (void)madvise(chunk->data, chunk->bytes, MADV_DONTNEED);
    chunk->used = 0;
  }
  leave(chunk);
  pthread_mutex_unlock(&mutex);
}
