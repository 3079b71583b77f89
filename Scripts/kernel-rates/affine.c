#include <string.h>

#include "rates.h"

// Rates of the packed quantised products beside what registers and memory allow, on the shapes of SmolLM2-135M.

// How finely activations are read: 1 or 2, see affine.h.
#ifndef TERMS
#define TERMS 1
#endif

typedef struct {
  const char* what;
  size_t rows, columns;
} shape;

static const shape shapes[] = {
    {"gate and up", 3072, 576}, {"down", 576, 1536}, {"q, k, v", 960, 576}, {"head", 49152, 576}};

typedef struct {
  void* blocks;
  size_t row_bytes;
} weights;

/// Random rows in a format's blocks; a few hundred different ones, again and again.
static weights random_weights(const hearth_format* format, size_t rows, size_t columns) {
  size_t row_bytes = columns / format->block_elements * format->block_bytes;
  uint8_t* blocks = malloc(rows * row_bytes);
  float* values = malloc(columns * sizeof *values);
  if (blocks == NULL || values == NULL) exit(1);
  for (size_t r = 0; r < rows; r++) {
    for (size_t c = 0; c < columns && r < 300; c++) values[c] = noise();
    if (r < 300) format->quantize(blocks + r * row_bytes, values, columns);
    if (r >= 300) memcpy(blocks + r * row_bytes, blocks + r % 300 * row_bytes, row_bytes);
  }
  free(values);
  return (weights){blocks, row_bytes};
}

static void* random_activations(size_t tokens, size_t columns) {
  float* x = malloc(tokens * columns * sizeof *x);
  void* out = aligned_alloc(64, (tokens * hearth_activation_bytes(columns, TERMS) + 63) / 64 * 64);
  if (x == NULL || out == NULL) exit(1);
  for (size_t i = 0; i < tokens * columns; i++) x[i] = noise();
  hearth_quantize_activations(NULL, out, x, columns, tokens, columns, TERMS);
  free(x);
  return out;
}

static void measure(hearth_pool* pool, const hearth_format* format, const shape* s) {
  size_t rows = s->rows, columns = s->columns / format->block_elements * format->block_elements;
  weights w = random_weights(format, rows, columns);
  hearth_affine* matrix =
      hearth_affine_pack(pool, format, w.blocks, w.row_bytes, rows, columns, TERMS);
  float* y = malloc(512 * rows * sizeof *y);
  if (matrix == NULL || y == NULL) exit(1);
  double ceiling = integer_ceiling(pool);
  printf("  %-5s %-12s %.2f bits:", format->name, s->what,
         8 * (double)hearth_affine_bytes(matrix) / (double)(rows * columns));
  static const size_t counts[] = {1, 2, 4, 8, 16, 64, 512};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    size_t tokens = counts[i];
    void* a = random_activations(tokens, columns);
    double best;
    SHORTEST(best, hearth_affine_matmul(pool, matrix, a, TERMS, tokens, y, rows));
    double rate = 2.0 * (double)(rows * columns * tokens) / best;
    if (tokens == 1) printf(" 1: %.1f GB/s;", (double)hearth_affine_bytes(matrix) / best / 1e9);
    else printf(" %zu: %.0f", tokens, rate / 1e9);
    if (tokens == 512) printf(" GOP/s = %.0f %% of %.0f", 100 * rate / ceiling, ceiling / 1e9);
    free(a);
  }
  double best;
  float* values = malloc(rows * columns * sizeof *values);
  if (values == NULL) exit(1);
  SHORTEST(best, hearth_affine_dequantize_rows(matrix, values, columns, 0, rows));
  printf("; unpacked %.1f G/s\n", (double)(rows * columns) / best / 1e9);
  fflush(stdout);
  free(values), free(w.blocks), free(y);
  hearth_affine_free(matrix);
}

/// One token through all the blocks and the head of a model too large for the caches, as decoding reads it.
static void measure_decode(hearth_pool* pool, const hearth_format* format, size_t layers) {
  hearth_affine** matrices = calloc(layers * 4, sizeof *matrices);
  static const size_t rows[] = {960, 576, 3072, 576}, columns[] = {576, 576, 576, 1536};
  float* y = malloc(3072 * sizeof *y);
  void* a = random_activations(1, 1536);
  double bytes = 0;
  for (size_t i = 0; i < layers * 4; i++) {
    size_t width = columns[i % 4] / format->block_elements * format->block_elements;
    weights w = random_weights(format, rows[i % 4], width);
    matrices[i] = hearth_affine_pack(pool, format, w.blocks, w.row_bytes, rows[i % 4], width, TERMS);
    bytes += (double)hearth_affine_bytes(matrices[i]);
    free(w.blocks);
  }
  double best;
  SHORTEST(best, {
    for (size_t i = 0; i < layers * 4; i++)
      hearth_affine_matmul(pool, matrices[i], a, TERMS, 1, y, rows[i % 4]);
  });
  double ceiling = bandwidth_ceiling(pool);
  printf("  %-5s decode, %zu layers, %.0f MB: %.2f ms, %.1f GB/s = %.0f %% of %.1f\n", format->name, layers,
         bytes / 1e6, best * 1e3, bytes / best / 1e9, 100 * bytes / best / ceiling, ceiling / 1e9);
  for (size_t i = 0; i < layers * 4; i++) hearth_affine_free(matrices[i]);
  free(matrices), free(y), free(a);
}

int main(int count, char** arguments) {
  for (int threads = 1; threads <= hearth_available_threads(); threads++) {
    hearth_pool* pool = hearth_pool_create(threads);
    printf("%d threads, %s\n", threads, hearth_isa_name(hearth_isa_current()));
    for (size_t f = 0; f < hearth_format_count(); f++) {
      const hearth_format* format = hearth_format_at(f);
      if (format->affine_bits == 0 || format->quantize == NULL) continue;
      if (count > 1 && strcmp(arguments[1], format->name) != 0) continue;
      measure_decode(pool, format, 30);
      for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) measure(pool, format, &shapes[s]);
    }
    hearth_pool_destroy(pool);
  }
}
