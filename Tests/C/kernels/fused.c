#include "affine.h"

// The operators around products, fused with them: the bits of the operators one by one.

enum { COLUMNS = 256, ROWS = 37, OTHER_ROWS = 16 };

typedef struct {
  affine_example first, second;
  size_t tokens;
  const float *x, *up, *weight, *residual;
} fused;

static float* product_of(hearth_pool* pool, const hearth_affine* matrix, const float* x, size_t tokens) {
  size_t rows = hearth_affine_rows(matrix);
  float* y = keep(tokens * rows * sizeof *y);
  int terms = hearth_affine_terms(matrix);
  hearth_affine_matmul(pool, matrix, quantized_activations(pool, x, tokens, COLUMNS, terms), terms, tokens, y, rows);
  return y;
}

static void project(result* out, hearth_pool* pool, const void* example) {
  const fused* f = example;
  const size_t tokens = f->tokens, count = tokens * COLUMNS;
  hearth_affine *first = packed(&f->first, pool), *second = packed(&f->second, pool);
  float *normal = keep(count * sizeof *normal), *gated = keep(count * sizeof *gated);
  hearth_rms_norm(pool, normal, NULL, f->x, f->weight, tokens, COLUMNS, 1e-5f);
  hearth_swiglu(pool, gated, f->x, f->up, count);
  float *y = keep(tokens * ROWS * sizeof *y), *other = keep(tokens * OTHER_ROWS * sizeof *other);
  size_t repeats = (size_t)hearth_pool_threads(pool);
  void* room = keep(hearth_activation_bytes(COLUMNS, 2) * tokens * repeats);
  float* ys[] = {y, other};
  const hearth_affine* matrices[] = {first, second};
  const size_t widths[] = {ROWS, OTHER_ROWS};
  hearth_projection_input input = {.kind = HEARTH_INPUT_RMS_NORM, .x = f->x, .ldx = COLUMNS, .weight = f->weight,
                                   .epsilon = 1e-5f};
  hearth_affine_project(pool, &input, tokens, 2, matrices, ys, widths, NULL, 0, room);
  expect(same_bits(y, product_of(pool, first, normal, tokens), tokens * ROWS), "a norm fused, %zu tokens", tokens);
  expect(same_bits(other, product_of(pool, second, normal, tokens), tokens * OTHER_ROWS), "a norm fused, two terms");
  put_bytes(out, y, tokens * ROWS * sizeof *y);
  put_bytes(out, other, tokens * OTHER_ROWS * sizeof *other);
  input = (hearth_projection_input){.kind = HEARTH_INPUT_SWIGLU, .x = f->x, .ldx = COLUMNS, .up = f->up};
  hearth_affine_project(pool, &input, tokens, 1, matrices, ys, widths, f->residual, ROWS, room);
  float* separate = product_of(pool, first, gated, tokens);
  for (size_t i = 0; i < tokens * ROWS; i++) separate[i] += f->residual[i];
  expect(same_bits(y, separate, tokens * ROWS), "a gate and a residual fused, %zu tokens", tokens);
  put_bytes(out, y, tokens * ROWS * sizeof *y);
  hearth_affine_free(first);
  hearth_affine_free(second);
}

void check_fused(bool quick) {
  static const size_t tokens[] = {1, 2, 3, 9, 130};
  for (size_t i = 0; i < (quick ? 4 : 5); i++) {
    noise source = noise_of(tokens[i]);
    fused f = {.first = affine_of(hearth_format_for(3), ROWS, COLUMNS, 1),
               .second = affine_of(hearth_format_for(8), OTHER_ROWS, COLUMNS, 2),
               .tokens = tokens[i],
               .x = noise_array(&source, tokens[i] * COLUMNS, 3),
               .up = noise_array(&source, tokens[i] * COLUMNS, 1),
               .weight = noise_array(&source, COLUMNS, 1),
               .residual = noise_array(&source, tokens[i] * ROWS, 1)};
    everywhere(project, &f, "fused, %zu tokens", tokens[i]);
    forget();
  }
}
