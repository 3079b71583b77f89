#include "tile_product.h"

#include "../rows/lanes.h"

/// `row_count` rows by `vector_count` times sixteen columns of c held in registers; both are constants
/// where this is inlined.
HEARTH_INLINE void register_tile(const size_t row_count, const size_t vector_count,
                                 const hearth_tile_product* p, size_t row, size_t column) {
  lanes sum[6][2];
  const float* a = p->a + row * p->a_row;
  const float* b = p->b + column;
  float* c = p->c + row * p->c_row + column;
  const size_t a_row = p->a_row, a_step = p->a_step, b_row = p->b_row, depth = p->depth;
#pragma clang loop unroll(full)
  for (size_t i = 0; i < row_count; i++)
#pragma clang loop unroll(full)
    for (size_t v = 0; v < vector_count; v++)
      sum[i][v] = p->keep ? lanes_load(c + i * p->c_row + v * LANE_COUNT) : (lanes)(0.0f);
  for (size_t k = 0; k < depth; k++) {
    lanes column_values[2];
#pragma clang loop unroll(full)
    for (size_t v = 0; v < vector_count; v++) column_values[v] = lanes_load(b + v * LANE_COUNT);
#pragma clang loop unroll(full)
    for (size_t i = 0; i < row_count; i++) {
      lanes factor = a[i * a_row];
#pragma clang loop unroll(full)
      for (size_t v = 0; v < vector_count; v++)
        sum[i][v] = lanes_fma(factor, column_values[v], sum[i][v]);
    }
    a += a_step;
    b += b_row;
  }
#pragma clang loop unroll(full)
  for (size_t i = 0; i < row_count; i++)
#pragma clang loop unroll(full)
    for (size_t v = 0; v < vector_count; v++)
      lanes_store(c + i * p->c_row + v * LANE_COUNT, sum[i][v]);
}

/// All columns of `row_count` rows.
HEARTH_INLINE void row_band(const size_t row_count, const hearth_tile_product* p, size_t row) {
  size_t column = 0;
  if (row_count <= 3)
    for (; column + 2 * LANE_COUNT <= p->columns; column += 2 * LANE_COUNT)
      register_tile(row_count, 2, p, row, column);
  for (; column < p->columns; column += LANE_COUNT) register_tile(row_count, 1, p, row, column);
}

HEARTH_INLINE void multiply_body(void* context, int index, int count) {
  (void)index, (void)count;
  const hearth_tile_product* p = context;
  size_t row = 0;
  // Six rows of sixteen columns are twelve registers of sums, as many as AVX2 can feed.
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
