#include "tile_product.h"

#include "../rows/lanes.h"

/// A register of AVX2.
typedef float eight __attribute__((ext_vector_type(8)));
#define EIGHT 8
#define UNROLLED _Pragma("clang loop unroll(full)")

HEARTH_INLINE eight eight_load(const float* from) {
  eight x;
  memcpy(&x, from, sizeof x);
  return x;
}

/// `rows` rows by `vectors` times eight columns of c, held in registers; both are constants where
/// this is inlined. Besides the sums, the shorter side stays in registers and the longer passes
/// through one, so that 6 by 2 and 3 by 4 both fill AVX2's sixteen without spilling.
HEARTH_INLINE void register_tile(const size_t rows, const size_t vectors,
                                 const hearth_tile_product* p, size_t row, size_t column) {
  eight sum[6][4];
  const float* a = p->a + row * p->a_row;
  const float* b = p->b + column;
  float* c = p->c + row * p->c_row + column;
  const size_t a_row = p->a_row, a_step = p->a_step, b_row = p->b_row, depth = p->depth;
  UNROLLED for (size_t i = 0; i < rows; i++)
    UNROLLED for (size_t v = 0; v < vectors; v++)
      sum[i][v] = p->keep ? eight_load(c + i * p->c_row + v * EIGHT) : (eight)(0.0f);
  for (size_t k = 0; k < depth; k++, a += a_step, b += b_row) {
    if (rows > vectors) {
      eight columns[4];
      UNROLLED for (size_t v = 0; v < vectors; v++) columns[v] = eight_load(b + v * EIGHT);
      UNROLLED for (size_t i = 0; i < rows; i++) {
        eight factor = a[i * a_row];
        UNROLLED for (size_t v = 0; v < vectors; v++)
          sum[i][v] = __builtin_elementwise_fma(factor, columns[v], sum[i][v]);
      }
    } else {
      eight factors[4];
      UNROLLED for (size_t i = 0; i < rows; i++) factors[i] = a[i * a_row];
      UNROLLED for (size_t v = 0; v < vectors; v++) {
        eight columns = eight_load(b + v * EIGHT);
        UNROLLED for (size_t i = 0; i < rows; i++)
          sum[i][v] = __builtin_elementwise_fma(factors[i], columns, sum[i][v]);
      }
    }
  }
  UNROLLED for (size_t i = 0; i < rows; i++)
    UNROLLED for (size_t v = 0; v < vectors; v++)
      memcpy(c + i * p->c_row + v * EIGHT, &sum[i][v], sizeof(eight));
}

/// All columns of `rows` rows.
HEARTH_INLINE void row_band(const size_t rows, const hearth_tile_product* p, size_t row) {
  size_t column = 0;
  if (rows <= 3)
    for (; column + 4 * EIGHT <= p->columns; column += 4 * EIGHT)
      register_tile(rows, 4, p, row, column);
  for (; column < p->columns; column += 2 * EIGHT) register_tile(rows, 2, p, row, column);
}

HEARTH_INLINE void multiply_body(void* context, int index, int count) {
  (void)index, (void)count;
  const hearth_tile_product* p = context;
  size_t row = 0;
  for (; row + 6 <= p->rows; row += 6) row_band(6, p, row);
  switch (p->rows - row) {
    case 5: row_band(5, p, row); break;
    case 4: row_band(4, p, row); break;
    case 3: row_band(3, p, row); break;
    case 2: row_band(2, p, row); break;
    case 1: row_band(1, p, row); break;
    default: break;
  }
}
HEARTH_KERNEL(multiply)

void hearth_tile_multiply(const hearth_tile_product* product) { multiply((void*)product, 0, 1); }
