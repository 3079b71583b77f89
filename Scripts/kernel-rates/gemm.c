#include "rates.h"

// Rates of the f32 matrix product beside the rate of fmas from registers, on the shapes of SmolLM2-135M.

typedef struct {
  const char* what;
  size_t m, n, k;
  bool transpose_a, transpose_b;
} shape;

static const shape shapes[] = {
    {"feed-forward, 1024 tokens", 1024, 1536, 576, false, true},
    {"feed-forward down", 1024, 576, 1536, false, true},
    {"head, 1024 tokens", 1024, 49152, 576, false, true},
    {"head's input gradient", 1024, 576, 49152, false, false},
    {"weight gradient", 1536, 576, 1024, true, false},
    {"not transposed", 1024, 1536, 576, false, false},
    {"256 tokens", 256, 1536, 576, false, true},
    {"64 tokens", 64, 1536, 576, false, true},
    {"16 tokens", 16, 1536, 576, false, true},
    {"8 tokens, head", 8, 49152, 576, false, true},
    {"1 token, head", 1, 49152, 576, false, true},
    {"1 token, not transposed", 1, 49152, 576, false, false},
    {"LoRA A", 1024, 8, 576, false, true},
    {"LoRA B", 1024, 576, 8, false, true},
    {"LoRA B's gradient", 576, 8, 1024, true, false},
    {"LoRA A's gradient", 8, 576, 1024, true, false},
};

static float* matrix(size_t rows, size_t columns) {
  float* x = aligned_alloc(64, (rows * columns * sizeof(float) + 63) / 64 * 64);
  if (x == NULL) exit(1);
  for (size_t i = 0; i < rows * columns; i++) x[i] = noise();
  return x;
}

static void measure(hearth_pool* pool, const shape* s) {
  float *a = matrix(s->m, s->k), *b = matrix(s->n, s->k), *c = matrix(s->m, s->n);
  double best;
  SHORTEST(best, hearth_sgemm(pool, s->transpose_a, s->transpose_b, s->m, s->n, s->k, a,
                              s->transpose_a ? s->m : s->k, b, s->transpose_b ? s->k : s->n, c,
                              s->n, false));
  double rate = 2.0 * (double)s->m * (double)s->n * (double)s->k / best;
  double read = 4.0 * ((double)s->m * (double)s->k + (double)s->n * (double)s->k) / best;
  printf("  %-26s [%zu, %zu]%s x [%zu, %zu]%s  %7.1f GFLOP/s  %5.1f GB/s  %8.3f ms", s->what, s->m,
         s->k, s->transpose_a ? "T" : "", s->k, s->n, s->transpose_b ? "T" : "", rate / 1e9,
         read / 1e9, best * 1e3);
  double ceiling = fma_ceiling(pool);
  printf("  %3.0f %% of %.0f\n", 100 * rate / ceiling, ceiling / 1e9);
  free(a), free(b), free(c);
}

int main(int count, char** arguments) {
  int only = count > 1 ? atoi(arguments[1]) : -1;
  for (int threads = 1; threads <= hearth_available_threads(); threads++) {
    hearth_pool* pool = hearth_pool_create(threads);
    printf("%d threads, %s\n", threads, hearth_isa_name(hearth_isa_current()));
    for (int i = 0; i < (int)(sizeof shapes / sizeof *shapes); i++)
      if (only < 0 || i == only) measure(pool, &shapes[i]);
    hearth_pool_destroy(pool);
  }
}
