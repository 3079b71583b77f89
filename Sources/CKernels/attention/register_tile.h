// The body of a small matrix product for registers of WIDTH floats, BAND rows of them at a time; included once for each
// width, with the names of what it defines: VECTOR, LOAD, TILE, ROW_BAND, MULTIPLY.

/// A register.
typedef float VECTOR __attribute__((ext_vector_type(WIDTH)));

HEARTH_INLINE VECTOR LOAD(const float* from) {
  VECTOR x;
  memcpy(&x, from, sizeof x);
  return x;
}

/// `rows` rows by `vectors` registers of columns of c, all held in registers; both are constants where
/// this is inlined. Besides the sums, the shorter side stays in registers and the longer passes
/// through one, so that BAND by 2 fills the registers there are without spilling.
HEARTH_INLINE void TILE(const size_t rows, const size_t vectors, const hearth_tile_product* p,
                        size_t row, size_t column) {
  VECTOR sum[BAND][4];
  const float* a = p->a + row * p->a_row;
  const float* b = p->b + column;
  float* c = p->c + row * p->c_row + column;
  const size_t a_row = p->a_row, a_step = p->a_step, b_row = p->b_row, depth = p->depth;
  UNROLLED for (size_t i = 0; i < rows; i++)
    UNROLLED for (size_t v = 0; v < vectors; v++)
      sum[i][v] = p->keep ? LOAD(c + i * p->c_row + v * WIDTH) : (VECTOR)(0.0f);
  for (size_t k = 0; k < depth; k++, a += a_step, b += b_row) {
    if (rows > vectors) {
      VECTOR columns[4];
      UNROLLED for (size_t v = 0; v < vectors; v++) columns[v] = LOAD(b + v * WIDTH);
      UNROLLED for (size_t i = 0; i < rows; i++) {
        VECTOR factor = a[i * a_row];
        UNROLLED for (size_t v = 0; v < vectors; v++)
          sum[i][v] = __builtin_elementwise_fma(factor, columns[v], sum[i][v]);
      }
    } else {
      VECTOR factors[4];
      UNROLLED for (size_t i = 0; i < rows; i++) factors[i] = a[i * a_row];
      UNROLLED for (size_t v = 0; v < vectors; v++) {
        VECTOR columns = LOAD(b + v * WIDTH);
        UNROLLED for (size_t i = 0; i < rows; i++)
          sum[i][v] = __builtin_elementwise_fma(factors[i], columns, sum[i][v]);
      }
    }
  }
  UNROLLED for (size_t i = 0; i < rows; i++)
    UNROLLED for (size_t v = 0; v < vectors; v++)
      memcpy(c + i * p->c_row + v * WIDTH, &sum[i][v], sizeof(VECTOR));
}

/// All columns of `rows` rows.
HEARTH_INLINE void ROW_BAND(const size_t rows, const hearth_tile_product* p, size_t row) {
  size_t column = 0;
  if (rows <= 3)
    for (; column + 4 * WIDTH <= p->columns; column += 4 * WIDTH) TILE(rows, 4, p, row, column);
  for (; column + 2 * WIDTH <= p->columns; column += 2 * WIDTH) TILE(rows, 2, p, row, column);
  for (; column < p->columns; column += WIDTH) TILE(rows, 1, p, row, column);
}

HEARTH_INLINE void MULTIPLY(void* context, int index, int count) {
  (void)index, (void)count;
  const hearth_tile_product* p = context;
  size_t row = 0;
  for (; row + BAND <= p->rows; row += BAND) ROW_BAND(BAND, p, row);
  for (; row + 6 <= p->rows; row += 6) ROW_BAND(6, p, row);
  switch (p->rows - row) {
    case 5: ROW_BAND(5, p, row); break;
    case 4: ROW_BAND(4, p, row); break;
    case 3: ROW_BAND(3, p, row); break;
    case 2: ROW_BAND(2, p, row); break;
    case 1: ROW_BAND(1, p, row); break;
    default: break;
  }
}
