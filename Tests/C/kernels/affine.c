#include "affine.h"

#include <math.h>

// Packed affine matrices: products against the plain twin's bits and the definition, whatever the tokens.

/// What lies between the rows of an output, which must stay.
static const float untouched = -7;

typedef struct {
  affine_example matrix;
  size_t tokens;
  const float* x;
  bool pieces;  ///< also in batches of other sizes
} product;

/// y [tokens, rows + 3] of the last `tokens` tokens.
static float* multiplied(const hearth_affine* matrix, hearth_pool* pool, const product* p, const uint8_t* activations,
                         size_t tokens) {
  const size_t width = p->matrix.rows + 3;
  float* y = malloc(tokens * width * sizeof *y);
  if (y == NULL) exit(2);
  for (size_t i = 0; i < tokens * width; i++) y[i] = untouched;
  size_t token_bytes = hearth_activation_bytes(p->matrix.columns, p->matrix.terms);
  hearth_affine_matmul(pool, matrix, activations + (p->tokens - tokens) * token_bytes, p->matrix.terms, tokens, y, width);
  for (size_t t = 0; t < tokens; t++)
    for (size_t i = p->matrix.rows; i < width; i++)
      expect(y[t * width + i] == untouched, "%s: written beyond a row", p->matrix.format->name);
  return y;
}

static void multiply(result* out, hearth_pool* pool, const void* example) {
  const product* p = example;
  hearth_affine* matrix = packed(&p->matrix, pool);
  const size_t width = p->matrix.rows + 3;
  uint8_t* activations =
      quantized_activations(pool, p->x, p->tokens, p->matrix.columns, p->matrix.terms);
  put_bytes(out, activations, p->tokens * hearth_activation_bytes(p->matrix.columns, p->matrix.terms));
  float* whole = multiplied(matrix, pool, p, activations, p->tokens);
  put_bytes(out, whole, p->tokens * width * sizeof *whole);
  for (size_t tokens = 1; tokens < p->tokens && p->pieces && hearth_isa_current() != HEARTH_ISA_SCALAR;
       tokens += tokens < 9 ? 1 : 4) {
    float* part = multiplied(matrix, pool, p, activations, tokens);
    expect(same_bits(part, whole + (p->tokens - tokens) * width, tokens * width), "%s: %zu tokens alone on %s",
           p->matrix.format->name, tokens, hearth_isa_name(hearth_isa_current()));
    free(part);
  }
  free(whole);
  hearth_affine_free(matrix);
}

/// The plain product beside the definition in double precision.
static void check_definition(const product* p) {
  hearth_affine* matrix = packed(&p->matrix, NULL);
  const size_t columns = p->matrix.columns;
  const float* weights = affine_weights(&p->matrix);
  float* y = multiplied(matrix, NULL, p, quantized_activations(NULL, p->x, p->tokens, columns, p->matrix.terms), p->tokens);
  for (size_t t = 0; t < p->tokens; t++)
    for (size_t r = 0; r < p->matrix.rows; r++) {
      double sum = 0, magnitude = 0;
      for (size_t block = 0; block < columns; block += 32) {
        float largest = 0;
        const float* x = p->x + t * columns + block;
        for (size_t i = 0; i < 32; i++) largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
        float inverse = largest > 0 ? 127 / largest : 0;
        for (size_t i = 0; i < 32; i++) {
          float exact = x[i] * inverse, q = rintf(exact), rest = rintf((exact - q) * 256);
          double value = q + (p->matrix.terms == 2 ? (rest < 127 ? rest : 127) / 256.0 : 0.0);
          double term = (double)weights[r * columns + block + i] * value * (double)(largest / 127);
          sum += term;
          magnitude += fabs(term);
        }
      }
      if (!expect(fabs((double)y[t * (p->matrix.rows + 3) + r] - sum) <= 1e-5 * magnitude, "%s: token %zu, row %zu",
                  p->matrix.format->name, t, r))
        break;
    }
  free(y);
  hearth_affine_free(matrix);
}

/// Unpacked, packed matrices give the format's own values; a stretch that begins and ends inside panels too.
static void unpack(result* out, hearth_pool* pool, const void* example) {
  const affine_example* e = example;
  hearth_affine* matrix = packed(e, pool);
  float *values = malloc(e->rows * e->columns * sizeof *values), *expected = affine_weights(e);
  if (values == NULL) exit(2);
  hearth_affine_dequantize_rows(matrix, values, e->columns, 0, e->rows);
  for (size_t i = 0; i < e->rows * e->columns; i++)
    if (!expect(values[i] == expected[i], "%s: unpacked element %zu", e->format->name, i)) break;
  put_bytes(out, values, e->rows * e->columns * sizeof *values);
  size_t first = e->rows / 3, count = e->rows - first - e->rows / 4, width = e->columns + 3;
  float* part = malloc(count * width * sizeof *part);
  if (part == NULL) exit(2);
  for (size_t i = 0; i < count * width; i++) part[i] = untouched;
  hearth_affine_dequantize_rows(matrix, part, width, first, count);
  for (size_t r = 0; r < count; r++)
    expect(same_bits(part + r * width, values + (first + r) * e->columns, e->columns) &&
               part[r * width + e->columns] == untouched,
           "%s: unpacked row %zu", e->format->name, first + r);
  free(part);
  free(values);
  hearth_affine_free(matrix);
}

/// Blocks whose 16-wide parts have factors that f16 holds, which no quantised numbers have.
static affine_example halves_in_parts(size_t rows, size_t columns) {
  const hearth_format* q6_k = hearth_format_for(14);
  affine_example example = affine_of(q6_k, rows, columns, 1);
  random_bits random = {3};
  for (size_t row = 0; row < rows; row++)
    for (size_t b = 0; b < columns / 256; b++) {
      uint8_t* block = example.blocks + row * example.row_bytes + b * q6_k->block_bytes;
      for (size_t i = 0; i < q6_k->block_bytes; i++) block[i] = (uint8_t)next_bits(&random);
      // A scale of 1 beside sub-scales that are bytes.
      block[q6_k->block_bytes - 2] = 0, block[q6_k->block_bytes - 1] = 0x3c;
    }
  return example;
}

static void check_activations(void) {
  // Ties, sizes from the smallest to the largest, and what is not finite.
  static float x[90 * 32];
  noise source = noise_of(77);
  for (size_t block = 0; block < 90; block++) {
    float size = 1;
    for (size_t i = 0; i < block / 2 % 40; i++) size *= block % 2 ? 0.13f : 6;
    for (size_t i = 0; i < 32; i++) x[32 * block + i] = next_noise(&source) * size;
  }
  for (size_t i = 0; i < 32; i++) x[i] = i == 0 ? 127 : (float)i - 16.5f;
  x[32 * 80 + 3] = NAN, x[32 * 81 + 4] = INFINITY, x[32 * 82 + 31] = -INFINITY, x[32 * 83] = 0x1p-149f;
  for (size_t i = 0; i < 32; i++) x[32 * 84 + i] = 3e-37f, x[32 * 85 + i] = -0.0f;
  for (int terms = 1; terms <= 2; terms++) {
    product p = {.matrix = affine_of(hearth_format_for(3), 5, 32, terms), .tokens = 90, .x = x};
    // NaNs of two kinds come out, so bytes are compared as numbers below.
    uint8_t* plain = NULL;
    for (int isa = HEARTH_ISA_SCALAR; isa <= HEARTH_ISA_I8MM; isa++) {
      hearth_isa_force((hearth_isa)isa);
      uint8_t* ours = quantized_activations(NULL, x, 90, 32, terms);
      if (plain == NULL) plain = ours;
      size_t bytes = hearth_activation_bytes(32, 1);
      for (size_t block = 0; block < 90 * (size_t)terms; block++) {
        const uint8_t *a = plain + block * bytes, *b = ours + block * bytes;
        bool same = memcmp(a, b, 32) == 0;
        for (size_t i = 32; i < bytes; i += 4) {
          float v, w;
          memcpy(&v, a + i, 4);
          memcpy(&w, b + i, 4);
          same = same && (bits_of(v) == bits_of(w) || (v != v && w != w));
        }
        expect(same, "activations of block %zu, %d terms, on %s", block, terms, hearth_isa_name((hearth_isa)isa));
      }
      hearth_affine* matrix = packed(&p.matrix, NULL);
      float* y = multiplied(matrix, NULL, &p, ours, 90);
      for (size_t t = 0; t < 90; t++)
        for (size_t r = 0; r < 5; r++)
          expect((t >= 80 && t <= 82) == (y[t * 8 + r] != y[t * 8 + r]), "token %zu, row %zu is a number or not", t, r);
      free(y);
      hearth_affine_free(matrix);
    }
    forget();
  }
  hearth_isa_force(hearth_isa_best());
}

void check_affine(bool quick) {
  check_activations();
  for (size_t f = 0; f < hearth_format_count(); f++) {
    const hearth_format* format = hearth_format_at(f);
    if (format->affine_bits == 0) continue;
    for (int terms = 1; terms <= 2; terms++) {
      static const size_t rows[] = {53, 1, 16, 33}, columns[] = {512, 768, 1280, 256}, tokens[] = {33, 3, 21, 8};
      for (size_t i = 0; i < (quick ? 2 : 4); i++) {
        product p = {.matrix = affine_of(format, rows[i], columns[i], terms), .tokens = tokens[i],
                     .x = activations_of(tokens[i], columns[i]), .pieces = i == 0};
        if (quick && i == 0) p.tokens = 13;
        everywhere(multiply, &p, "affine %s, %zu x %zu, %zu tokens, %d terms", format->name, rows[i], columns[i],
                   p.tokens, terms);
        if (i == 1) check_definition(&p);
        forget();
      }
    }
    for (size_t rows = 1; rows < 40; rows += 18) {
      affine_example example = affine_of(format, rows, 512, 1);
      everywhere(unpack, &example, "affine %s unpacked, %zu rows", format->name, rows);
      forget();
    }
  }
  product parts = {.matrix = halves_in_parts(33, 512), .tokens = 13, .x = activations_of(13, 512), .pieces = true};
  everywhere(multiply, &parts, "affine Q6_K with factors in f16");
  everywhere(unpack, &parts.matrix, "affine Q6_K with factors in f16, unpacked");
  forget();
  product chunks = {.matrix = affine_of(hearth_format_for(3), 48, 64, 1), .tokens = 300, .x = activations_of(300, 64)};
  everywhere(multiply, &chunks, "affine Q4_1, 300 tokens");
  forget();
  product odd = {.matrix = affine_of(hearth_format_for(8), 19, 32 * 37, 2), .tokens = 131,
                 .x = activations_of(131, 32 * 37)};
  if (!quick) everywhere(multiply, &odd, "affine Q8_0, 37 blocks, 131 tokens");
  forget();
}
