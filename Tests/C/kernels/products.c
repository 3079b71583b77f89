#include <math.h>

#include "check.h"

// Products of floats: each output is one chain of fused multiply-adds.

typedef struct {
  size_t m, n, k, padding;
  bool transpose_a, transpose_b, accumulate, defined;
} shape;

static void multiply(result* out, hearth_pool* pool, const void* example) {
  const shape* s = example;
  const size_t lda = (s->transpose_a ? s->m : s->k) + s->padding, ldb = (s->transpose_b ? s->k : s->n) + 2 * s->padding;
  const size_t ldc = s->n + 3 * s->padding;
  noise source = noise_of(s->m * 73 + s->n * 31 + s->k * 7 + 1);
  const float* a = noise_array(&source, (s->transpose_a ? s->k : s->m) * lda, 1);
  const float* b = noise_array(&source, (s->transpose_b ? s->n : s->k) * ldb, 1);
  float *c = noise_array(&source, s->m * ldc, 1), *expected = keep(s->m * ldc * sizeof *c);
  memcpy(expected, c, s->m * ldc * sizeof *c);
  hearth_sgemm(pool, s->transpose_a, s->transpose_b, s->m, s->n, s->k, a, lda, b, ldb, c, ldc, s->accumulate);
  if (s->defined) {
    for (size_t i = 0; i < s->m; i++)
      for (size_t j = 0; j < s->n; j++) {
        float sum = s->accumulate ? expected[i * ldc + j] : 0;
        for (size_t l = 0; l < s->k; l++)
          sum = fmaf(a[s->transpose_a ? l * lda + i : i * lda + l], b[s->transpose_b ? j * ldb + l : l * ldb + j], sum);
        expected[i * ldc + j] = sum;
      }
    // What lies between the rows must be as it was.
    expect(same_bits(c, expected, s->m * ldc), "gemm %zu x %zu x %zu", s->m, s->n, s->k);
  }
  put_bytes(out, c, s->m * ldc * sizeof *c);
  forget();
}

static void small(result* out, hearth_pool* pool, const void* example) {
  static const size_t sizes[][3] = {{1, 1, 1}, {1, 17, 5}, {2, 16, 8}, {3, 8, 33}, {5, 31, 4}, {6, 16, 12}, {7, 7, 7},
                                    {8, 24, 19}, {13, 40, 3}, {1, 100, 40}, {40, 1, 40}, {25, 9, 64}, {12, 33, 1}};
  (void)example;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (int kind = 0; kind < 8; kind++) {
      const size_t *size = sizes[i];
      shape s = {size[0], size[1], size[2], (size[0] + size[1]) % 4, kind & 1, kind & 2, kind & 4, true};
      multiply(out, pool, &s);
    }
}

typedef struct {
  hearth_dense_type type;
  uint32_t format;
  size_t rows, columns, most;
} dense;

static void multiply_dense(result* out, hearth_pool* pool, const void* example) {
  const dense* d = example;
  const hearth_format* format = hearth_format_for(d->format);
  const size_t row_bytes = d->columns * format->block_bytes + 2;
  noise source = noise_of(5);
  uint8_t* elements = keep(d->rows * row_bytes);
  float *weights = keep(d->rows * d->columns * sizeof *weights), *values = noise_array(&source, d->rows * d->columns, 1);
  for (size_t r = 0; r < d->rows; r++) {
    format->quantize(elements + r * row_bytes, values + r * d->columns, d->columns);
    format->dequantize(weights + r * d->columns, elements + r * row_bytes, d->columns);
  }
  hearth_dense* matrix = hearth_dense_pack(pool, d->type, elements, row_bytes, d->rows, d->columns);
  if (!expect(matrix != NULL, "a dense matrix is not packed")) exit(2);
  const float* x = noise_array(&source, d->most * d->columns, 1);
  float* expected = keep(d->most * d->rows * sizeof *expected);
  hearth_sgemm(pool, false, true, d->most, d->rows, d->columns, x, d->columns, weights, d->columns, expected, d->rows, false);
  // Tiles have up to twelve tokens; every height is checked, some are in the digest.
  static const size_t counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 17, 97, 110};
  for (size_t i = 0; i < sizeof counts / sizeof *counts && counts[i] <= d->most; i++) {
    const size_t width = d->rows + 3, tokens = counts[i];
    float* y = keep(tokens * width * sizeof *y);
    for (size_t j = 0; j < tokens * width; j++) y[j] = -7;
    hearth_dense_matmul(pool, 1, (const hearth_dense* const*)&matrix, x, d->columns, tokens, &y, &width, NULL);
    for (size_t t = 0; t < tokens; t++)
      expect(same_bits(y + t * width, expected + t * d->rows, d->rows) && y[t * width + d->rows] == -7,
             "dense %s, %zu x %zu, %zu tokens, on %s", format->name, d->rows, d->columns, tokens,
             hearth_isa_name(hearth_isa_current()));
    if (tokens < 8 || tokens > 11) put_bytes(out, y, tokens * width * sizeof *y);
  }
  hearth_dense_free(matrix);
  forget();
}

/// Tokens rounded to bf16; some numbers, and some products, are next to nothing or less.
static void multiply_rounded(result* out, hearth_pool* pool, const void* example) {
  const dense* d = example;
  noise source = noise_of(7);
  const size_t count = d->rows * d->columns, row_bytes = d->columns * 2;
  uint8_t* elements = keep(count * 2);
  const float *values = noise_array(&source, count, 1), *x = noise_array(&source, d->most * d->columns, 1);
  for (size_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, values + i, sizeof bits);
    // The last rows have columns where products with small tokens come close to the smallest number.
    const uint16_t half = i % 50 == 7 ? 3 : i / d->columns % 9 == 8 ? (uint16_t)(0x0080 + (bits >> 16 & 0xff)) : (uint16_t)(bits >> 16);
    memcpy(elements + 2 * i, &half, sizeof half);
  }
  hearth_dense* matrix = hearth_dense_pack(pool, HEARTH_DENSE_BF16_ROUNDED, elements, row_bytes, d->rows, d->columns);
  if (!expect(matrix != NULL, "a dense matrix is not packed")) exit(2);
  const hearth_dense* matrices[] = {matrix};
  static const size_t counts[] = {1, 2, 5, 14, 17, 97, 110};
  for (size_t i = 0; i < sizeof counts / sizeof *counts && counts[i] <= d->most; i++) {
    float* y = keep(counts[i] * d->rows * sizeof *y);
    uint16_t* rounded = keep(hearth_dense_rounded_count(1, matrices, counts[i]) * sizeof *rounded + 2);
    hearth_dense_matmul(pool, 1, matrices, x, d->columns, counts[i], &y, &d->rows, rounded);
    put_bytes(out, y, counts[i] * d->rows * sizeof *y);
  }
  hearth_dense_free(matrix);
  forget();
}

void check_products(bool quick) {
  everywhere(small, NULL, "gemm, small");
  static const shape shapes[] = {
      {.m = 193, .n = 50, .k = 330, .transpose_b = true}, {.m = 400, .n = 70, .k = 64, .transpose_a = true},
      {.m = 10, .n = 1600, .k = 650, .transpose_b = true, .accumulate = true}, {.m = 7, .n = 130, .k = 1000},
      {.m = 385, .n = 1550, .k = 20}, {.m = 64, .n = 8, .k = 576, .transpose_b = true}, {.m = 8, .n = 576, .k = 300},
      {.m = 1, .n = 700, .k = 641, .transpose_b = true, .accumulate = true, .padding = 3}, {.m = 300, .n = 24, .k = 321},
      {.m = 300, .n = 40, .k = 9, .transpose_a = true, .transpose_b = true}};
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    const shape* s = shapes + i;
    if (quick && s->m * s->n * s->k > 4000000) continue;
    everywhere(multiply, s, "gemm %zu x %zu x %zu, kind %d", s->m, s->n, s->k,
               s->transpose_a + 2 * s->transpose_b + 4 * s->accumulate);
  }
  static const uint32_t formats[] = {0, 1, 30};
  static const size_t sizes[][2] = {{1, 1}, {31, 97}, {70, 200}, {32, 96}};
  for (size_t i = 0; i < 3; i++)
    for (size_t j = 0; j < 4; j++) {
      dense d = {(hearth_dense_type)i, formats[i], sizes[j][0], sizes[j][1], quick ? 17 : 110};
      everywhere(multiply_dense, &d, "dense %s, %zu x %zu, %zu tokens", hearth_format_for(formats[i])->name, d.rows,
                 d.columns, d.most);
    }
  static const size_t even[][2] = {{1, 2}, {31, 98}, {70, 200}, {33, 4100}};
  for (size_t j = 0; j < 4; j++) {
    dense d = {HEARTH_DENSE_BF16_ROUNDED, 30, even[j][0], even[j][1], quick ? 17 : 110};
    everywhere(multiply_rounded, &d, "dense BF16 with rounded tokens, %zu x %zu, %zu tokens", d.rows, d.columns, d.most);
  }
}
