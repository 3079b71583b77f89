#include "affine.h"

affine_example affine_of(const hearth_format* format, size_t rows, size_t columns, int terms) {
  affine_example example = {.format = format, .rows = rows, .columns = columns, .terms = terms};
  example.row_bytes = columns / format->block_elements * format->block_bytes + 6;
  example.blocks = keep(rows * example.row_bytes);
  noise source = noise_of(rows * 131 + columns);
  float* values = keep(columns * sizeof *values);
  for (size_t row = 0; row < rows; row++) {
    // Rows of different size and offset, so that a scale taken from a neighbour shows.
    float size = (float)(row % 5 + 1) * 0.1f, offset = (float)(row % 3) * 0.05f;
    for (size_t i = 0; i < columns; i++) values[i] = next_noise(&source) * size + offset;
    format->quantize(example.blocks + row * example.row_bytes, values, columns);
  }
  return example;
}

hearth_affine* packed(const affine_example* example, hearth_pool* pool) {
  hearth_affine* matrix = hearth_affine_pack(pool, example->format, example->blocks, example->row_bytes, example->rows,
                                             example->columns, example->terms);
  if (!expect(matrix != NULL, "%s: not packed", example->format->name)) exit(2);
  return matrix;
}

float* affine_weights(const affine_example* example) {
  float* values = keep(example->rows * example->columns * sizeof *values);
  for (size_t row = 0; row < example->rows; row++)
    example->format->dequantize(values + row * example->columns, example->blocks + row * example->row_bytes,
                                example->columns);
  return values;
}

float* activations_of(size_t tokens, size_t columns) {
  noise source = noise_of(tokens * 977 + columns);
  float* x = keep(tokens * columns * sizeof *x);
  for (size_t i = 0; i < tokens * columns; i++) x[i] = next_noise(&source) * (float)(i / columns % 7 + 1);
  return x;
}

uint8_t* quantized_activations(hearth_pool* pool, const float* x, size_t tokens, size_t columns, int terms) {
  uint8_t* out = keep(tokens * hearth_activation_bytes(columns, terms));
  hearth_quantize_activations(pool, out, x, columns, tokens, columns, terms);
  return out;
}
