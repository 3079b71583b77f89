#include <pthread.h>
#include <stdlib.h>

#include "bf16_internal.h"

// One buffer a thread, as large as the largest that was asked for, so that kernels allocate nothing after their first calls.

typedef struct {
  size_t bytes;
  void* memory;
} scratch;

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void destroy(void* context) {
  scratch* own = context;
  free(own->memory);
  free(own);
}

static void create_key(void) {
  // Without a key there is nothing to work with, and no kernel can say so.
  if (pthread_key_create(&key, destroy) != 0) abort();
}

void* hearth_bf16_scratch(size_t bytes) {
  pthread_once(&once, create_key);
  scratch* own = pthread_getspecific(key);
  if (own == NULL) {
    own = calloc(1, sizeof *own);
    if (own == NULL || pthread_setspecific(key, own) != 0) abort();
  }
  if (own->bytes >= bytes) return own->memory;
  free(own->memory);
  own->bytes = (bytes + 63) / 64 * 64;
  own->memory = aligned_alloc(64, own->bytes);
  if (own->memory == NULL) abort();
  return own->memory;
}
