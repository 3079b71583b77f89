#include "rates.h"

// Rates of products in bf16 with sums in f32, on the shapes of training SmolLM2-135M, beside what registers allow in f32.

typedef struct {
  const char* what;
  size_t rows, lanes, depth;
  hearth_operand_kind kind;
  bool transposed;
  bool int8;  ///< the operand, packed and transposed, turned round in 8 bits
} shape;

static const shape shapes[] = {
    {"gate and up, 1024 tokens", 1024, 3072, 576, HEARTH_OPERAND_AFFINE, false},
    {"down", 1024, 576, 1536, HEARTH_OPERAND_AFFINE, false},
    {"gate and up, input gradient", 1024, 576, 3072, HEARTH_OPERAND_AFFINE, true},
    {"down, input gradient", 1024, 1536, 576, HEARTH_OPERAND_AFFINE, true},
    {"gate and up, input gradient, int8", 1024, 576, 3072, HEARTH_OPERAND_AFFINE, true, .int8 = true},
    {"down, input gradient, int8", 1024, 1536, 576, HEARTH_OPERAND_AFFINE, true, .int8 = true},
    {"head, input gradient, int8", 128, 576, 49152, HEARTH_OPERAND_AFFINE, true, .int8 = true},
    {"512 tokens", 512, 3072, 576, HEARTH_OPERAND_AFFINE, false},
    {"256 tokens", 256, 3072, 576, HEARTH_OPERAND_AFFINE, false},
    {"head, 128 tokens", 128, 49152, 576, HEARTH_OPERAND_AFFINE, false},
    {"head, input gradient", 128, 576, 49152, HEARTH_OPERAND_AFFINE, true},
    {"weights in f32", 1024, 1536, 576, HEARTH_OPERAND_F32, false},
    {"weights in f32, input gradient", 1024, 576, 1536, HEARTH_OPERAND_F32, true},
    {"weights in bf16", 1024, 1536, 576, HEARTH_OPERAND_BF16, false},
    {"weight gradient", 1536, 576, 1024, HEARTH_OPERAND_BF16, true},
    {"LoRA A", 1024, 8, 576, HEARTH_OPERAND_F32, false},
    {"LoRA B", 1024, 576, 8, HEARTH_OPERAND_F32, false},
    {"LoRA A's gradient", 8, 576, 1024, HEARTH_OPERAND_BF16, true},
};

static float* floats(size_t count) {
  float* x = aligned_alloc(64, (count * sizeof *x + 63) / 64 * 64);
  if (x == NULL) exit(1);
  for (size_t i = 0; i < count; i++) x[i] = noise();
  return x;
}

static uint16_t* halves(size_t rows, size_t columns, size_t stride) {
  float* x = floats(rows * columns);
  uint16_t* y = aligned_alloc(64, (rows * stride * 2 + 63) / 64 * 64);
  if (y == NULL) exit(1);
  hearth_bf16_round(NULL, y, stride, x, columns, rows, columns);
  free(x);
  return y;
}

static void measure(hearth_pool* pool, const shape* s) {
  size_t rows = s->transposed ? s->depth : s->lanes, columns = s->transposed ? s->lanes : s->depth;
  size_t lda = hearth_bf16_stride(s->depth);
  uint16_t* a = halves(s->rows, s->depth, lda);
  float* c = floats(s->rows * s->lanes);
  hearth_operand b = {.kind = s->kind, .transposed = s->transposed, .ld = columns};
  void* freed = NULL;
  hearth_affine* affine = NULL;
  if (s->kind == HEARTH_OPERAND_AFFINE) {
    const hearth_format* format = hearth_format_for(s->lanes > 40000 || s->depth > 40000 ? 8 : 3);
    size_t bytes = columns / format->block_elements * format->block_bytes;
    float* w = floats(columns);
    uint8_t* blocks = malloc(rows * bytes);
    if (blocks == NULL) exit(1);
    for (size_t i = 0; i < rows; i++) format->quantize(blocks + i * bytes, w, columns);
    b.data = affine = hearth_affine_pack(pool, format, blocks, bytes, rows, columns, 1);
    free(blocks), free(w);
  } else if (s->kind == HEARTH_OPERAND_BF16) {
    b.ld = hearth_bf16_stride(columns);
    b.data = freed = halves(rows, columns, b.ld);
  } else {
    b.data = freed = floats(rows * columns);
  }
  hearth_bf16_matrix matrix = {.lanes = s->lanes, .term_count = 1, .output = HEARTH_OUTPUT_F32, .scale = 1,
                               .c = c, .ldc = s->lanes};
  matrix.terms[0] = (hearth_bf16_term){.a = a, .lda = lda, .b = b, .depth = s->depth};
  hearth_int8* turned = s->int8 ? hearth_int8_turn(pool, affine) : NULL;
  void* quantized = NULL;
  if (turned != NULL) {
    quantized = aligned_alloc(64, hearth_int8_row_bytes(s->depth) * s->rows);
    if (quantized == NULL) exit(1);
    hearth_int8_quantize(pool, quantized, a, lda, s->rows, s->depth);
    matrix.terms[0] = hearth_bf16_int8_term(turned, quantized);
  }
  double best;
  SHORTEST(best, hearth_bf16_products(pool, s->rows, 1, &matrix));
  double rate = 2.0 * (double)s->rows * (double)s->lanes * (double)s->depth / best, ceiling = fma_ceiling(pool);
  printf("  %-33s %5zu x %5zu x %5zu  %7.1f GFLOP/s  %8.3f ms, %4.2f of f32's %.0f\n", s->what, s->rows, s->lanes,
         s->depth, rate / 1e9, best * 1e3, rate / ceiling, ceiling / 1e9);
  hearth_int8_free(turned);
  hearth_affine_free(affine);
  free(quantized), free(freed), free(a), free(c);
}

int main(void) {
  for (int threads = 1; threads <= hearth_available_threads(); threads++) {
    hearth_pool* pool = hearth_pool_create(threads);
    printf("%d threads, %s\n", threads, hearth_isa_name(hearth_isa_current()));
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) measure(pool, &shapes[i]);
    hearth_pool_destroy(pool);
  }
}
