#include "check.h"

// Norms, activations and other maps over rows, with their gradients. Their bodies are one text for every instruction set, so
// the digests of an x86 processor, whose plain twin is compiled without vectors, say the most.

static void functions(result* out, hearth_pool* pool, const void* example) {
  (void)pool;
  const uint32_t step = *(const uint32_t*)example;
  for (uint64_t pattern = 0; pattern <= UINT32_MAX; pattern += step) {
    float x = float_of((uint32_t)pattern), y[3] = {hearth_exp(x), hearth_tanh(x), hearth_erf(x)};
    put_floats(out, y, 3);
  }
}

static void activations(result* out, hearth_pool* pool, const void* example) {
  (void)example;
  enum { COUNT = 20011 };
  noise source = noise_of(6);
  const float *x = noise_array(&source, COUNT, 6), *up = noise_array(&source, COUNT, 1), *dy = noise_array(&source, COUNT, 1);
  float *y = noise_array(&source, COUNT, 1), *gradient = noise_array(&source, COUNT, 1), *other = noise_array(&source, COUNT, 1);
  hearth_swiglu(pool, y, x, up, COUNT);
  put_bytes(out, y, COUNT * sizeof *y);
  hearth_swiglu_backward(pool, gradient, other, dy, x, up, COUNT);
  hearth_gelu(pool, y, x, COUNT);
  put_bytes(out, y, COUNT * sizeof *y);
  hearth_gelu_backward(pool, gradient, dy, x, COUNT);
  hearth_gelu_tanh(pool, y, x, COUNT);
  put_bytes(out, y, COUNT * sizeof *y);
  hearth_gelu_tanh_backward(pool, gradient, dy, x, COUNT);
  put_bytes(out, gradient, COUNT * sizeof *y);
  put_bytes(out, other, COUNT * sizeof *y);
  hearth_exponentials(pool, y, x, 0.25f, COUNT);
  put_bytes(out, y, COUNT * sizeof *y);
  hearth_add_scaled(pool, y, x, -0.3f, COUNT);
  put_bytes(out, y, COUNT * sizeof *y);
  hearth_dropout(pool, y, COUNT, 0.3f, 0x0123456789abcdefu, 0xfedcba9876543210u);
  put_bytes(out, y, COUNT * sizeof *y);
  double sum = hearth_sum_of_squares(pool, x, COUNT);
  put_bytes(out, &sum, sizeof sum);
  forget();
}

static void norms(result* out, hearth_pool* pool, const void* example) {
  const size_t width = *(const size_t*)example, rows = 31, count = rows * width;
  noise source = noise_of(3);
  const float *x = noise_array(&source, count, 1), *dy = noise_array(&source, count, 1);
  const float *weight = noise_array(&source, width, 1), *bias = noise_array(&source, width, 1);
  float *y = keep(count * 4), *mean = keep(rows * 4), *reciprocal = keep(rows * 4), *dx = noise_array(&source, count, 1);
  float *dweight = noise_array(&source, width, 1), *dbias = noise_array(&source, width, 1);
  for (int kind = 0; kind < 3; kind++) {
    if (kind == 2) {
      hearth_rms_norm(pool, y, reciprocal, x, weight, rows, width, 1e-5f);
      hearth_rms_norm_backward(pool, dx, dweight, dy, x, weight, reciprocal, rows, width);
    } else {
      hearth_layer_norm(pool, y, mean, reciprocal, x, weight, kind ? bias : NULL, rows, width, 1e-5f);
      hearth_layer_norm_backward(pool, dx, dweight, dbias, dy, x, weight, mean, reciprocal, rows, width);
    }
    put_bytes(out, y, count * 4);
    put_bytes(out, reciprocal, rows * 4);
  }
  hearth_add_bias(pool, y, bias, rows, width);
  hearth_add_bias_backward(pool, dbias, dy, rows, width);
  put_bytes(out, y, count * 4);
  put_bytes(out, mean, rows * 4);
  put_bytes(out, dx, count * 4);
  put_bytes(out, dweight, width * 4);
  put_bytes(out, dbias, width * 4);
  forget();
}

static void ropes(result* out, hearth_pool* pool, const void* example) {
  (void)example;
  enum { ROWS = 40, HEADS = 3, POSITIONS = 90 };
  static const size_t widths[][2] = {{2, 2}, {10, 6}, {64, 64}, {80, 32}};
  noise source = noise_of(8);
  int32_t positions[ROWS];
  for (int i = 0; i < ROWS; i++) positions[i] = i * 7 % POSITIONS;
  for (size_t i = 0; i < 4; i++) {
    const size_t count = ROWS * HEADS * widths[i][0], pairs = widths[i][1] / 2;
    float* x = noise_array(&source, count, 2);
    const float *cosines = noise_array(&source, POSITIONS * pairs, 1), *sines = noise_array(&source, POSITIONS * pairs, 1);
    for (int kind = 0; kind < 4; kind++)
      hearth_rope(pool, x, positions, cosines, sines, ROWS, HEADS, widths[i][0], widths[i][1],
                  kind & 1 ? HEARTH_ROPE_HALVES : HEARTH_ROPE_NEIGHBOURS, kind & 2);
    put_bytes(out, x, count * 4);
  }
  forget();
}

static void cross_entropy(result* out, hearth_pool* pool, const void* example) {
  (void)example;
  enum { ROWS = 7, VOCABULARY = 3001 };
  static const int32_t targets[ROWS] = {0, 3000, 17, -1, 5, 6, 4000};
  noise source = noise_of(9);
  float *logits = noise_array(&source, ROWS * VOCABULARY, 30), *again = keep(ROWS * VOCABULARY * 4), losses[ROWS];
  memcpy(again, logits, ROWS * VOCABULARY * 4);
  hearth_cross_entropy(pool, losses, logits, targets, ROWS, VOCABULARY, 0.3f);
  hearth_log_softmax(pool, again, ROWS, VOCABULARY);
  put_floats(out, losses, ROWS);
  put_bytes(out, logits, ROWS * VOCABULARY * 4);
  put_bytes(out, again, ROWS * VOCABULARY * 4);
  forget();
}

static void adamw(result* out, hearth_pool* pool, const void* example) {
  (void)example;
  enum { COUNT = 17003 };
  noise source = noise_of(10);
  float *p = noise_array(&source, COUNT, 1), *m = noise_array(&source, COUNT, 0.1f), *v = noise_array(&source, COUNT, 1);
  const float* gradient = noise_array(&source, COUNT, 1);
  for (size_t i = 0; i < COUNT; i++) v[i] *= v[i];
  hearth_adamw_settings settings = {.learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8,
                                    .weight_decay = 0.1, .correction1 = 0.1, .correction2 = 0.001, .gradient_scale = 0.25f};
  hearth_adamw(pool, p, m, v, gradient, COUNT, &settings);
  put_bytes(out, p, COUNT * 4);
  put_bytes(out, m, COUNT * 4);
  put_bytes(out, v, COUNT * 4);
  forget();
}

static void largest(result* out, hearth_pool* pool, const void* example) {
  (void)pool, (void)example;
  enum { COUNT = 1003 };
  noise source = noise_of(12);
  float* x = noise_array(&source, COUNT, 1);
  for (size_t count = 0; count <= COUNT; count += count < 70 ? 1 : 233)
    for (int kind = 0; kind < 4; kind++) {
      float value = 0, kept = x[count / 2];
      // The same number twice, and what there is no largest with.
      if (kind > 0) x[count / 2] = kind == 1 ? x[count / 3] : kind == 2 ? -__builtin_inff() : __builtin_nanf("");
      uint64_t place = hearth_largest(x, count, &value);
      x[count / 2] = kept;
      put_bytes(out, &place, sizeof place);
      put_bytes(out, &value, sizeof value);
    }
  forget();
}

void check_rows(bool quick) {
  const uint32_t step = quick ? 3000017 : 100003;
  everywhere(functions, &step, "exp, tanh and erf, every %u floats", step);
  everywhere(activations, NULL, "activation functions and maps");
  static const size_t widths[] = {577, 576, 5};
  for (size_t i = 0; i < 3; i++) everywhere(norms, &widths[i], "norms of %zu", widths[i]);
  everywhere(ropes, NULL, "rotary positions");
  everywhere(cross_entropy, NULL, "cross-entropy");
  everywhere(largest, NULL, "the largest");
  everywhere(adamw, NULL, "AdamW");
}
