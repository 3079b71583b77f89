#include <pthread.h>
#include <stdlib.h>

#include "gemm_internal.h"

// One buffer a thread, so that a product allocates nothing after the thread's first.

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int key_error;

static void create_key(void) { key_error = pthread_key_create(&key, free); }

void* hearth_product_workspace(void) {
  pthread_once(&once, create_key);
  if (key_error != 0) return NULL;
  void* memory = pthread_getspecific(key);
  if (memory != NULL) return memory;
  size_t bytes = (HEARTH_WORKSPACE_FLOATS * sizeof(float) + 63) / 64 * 64;
  memory = aligned_alloc(64, bytes);
  if (memory != NULL && pthread_setspecific(key, memory) != 0) {
    free(memory);
    return NULL;
  }
  return memory;
}
