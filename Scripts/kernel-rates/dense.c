#include <string.h>

#include "rates.h"

// Rates of products with matrices of floats beside what registers and memory allow, on the shapes of SmolLM2-135M.

typedef struct {
  const char* what;
  size_t rows, columns;
} shape;

static const shape shapes[] = {
    {"gate and up", 3072, 576}, {"down", 576, 1536}, {"q, k, v", 960, 576}, {"head", 49152, 576}};
static const char* const names[] = {"F32", "F16", "BF16", "BF16, rounded tokens"};

static void measure(hearth_pool* pool, hearth_dense_type type, const shape* s) {
  size_t size = type == HEARTH_DENSE_F32 ? 4 : 2, row_bytes = s->columns * size;
  void* elements = calloc(s->rows, row_bytes);
  float *x = malloc(512 * s->columns * sizeof *x), *y = malloc(512 * s->rows * sizeof *y);
  uint16_t* rounded = malloc(512 * hearth_bf16_stride(s->columns) * sizeof *rounded);
  hearth_dense* matrix = hearth_dense_pack(pool, type, elements, row_bytes, s->rows, s->columns);
  if (elements == NULL || x == NULL || y == NULL || rounded == NULL || matrix == NULL) exit(1);
  for (size_t i = 0; i < 512 * s->columns; i++) x[i] = noise();
  printf("  %-20s %-12s", names[type], s->what);
  static const size_t counts[] = {1, 4, 16, 512};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    double best;
    const hearth_dense* matrices[] = {matrix};
    SHORTEST(best, hearth_dense_matmul(pool, 1, matrices, x, s->columns, counts[i], &y, &s->rows, rounded));
    double rate = 2.0 * (double)(s->rows * s->columns * counts[i]) / best;
    if (counts[i] == 1) printf(" 1: %.1f GB/s;", (double)hearth_dense_bytes(matrix) / best / 1e9);
    else printf(" %zu: %.0f", counts[i], rate / 1e9);
    if (counts[i] == 512) printf(" GFLOP/s = %.0f %%\n", 100 * rate / fma_ceiling(pool));
  }
  fflush(stdout);
  hearth_dense_free(matrix);
  free(elements), free(x), free(y), free(rounded);
}

int main(void) {
  for (int threads = 1; threads <= hearth_available_threads(); threads++) {
    hearth_pool* pool = hearth_pool_create(threads);
    printf("%d threads, %s\n", threads, hearth_isa_name(hearth_isa_current()));
    for (int type = 0; type < 4; type++)
      for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        measure(pool, (hearth_dense_type)type, &shapes[s]);
    hearth_pool_destroy(pool);
  }
}
