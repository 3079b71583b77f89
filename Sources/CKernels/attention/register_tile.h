// The body of a small matrix product for registers of WIDTH floats, BAND rows of them at a time; included once for each
// width, with the names of what it defines: VECTOR, LOAD, HALVES, BYTES, LOAD_COLUMNS, TILE, ROW_BAND, MULTIPLY, MULTIPLY_ANY.

/// A register.
typedef float VECTOR __attribute__((ext_vector_type(WIDTH)));

HEARTH_INLINE VECTOR LOAD(const float* from) {
  VECTOR x;
  memcpy(&x, from, sizeof x);
  return x;
}

typedef _Float16 HALVES __attribute__((ext_vector_type(WIDTH)));

typedef int8_t BYTES __attribute__((ext_vector_type(WIDTH)));

/// WIDTH elements of b from `at` on, whatever it is of.
HEARTH_INLINE VECTOR LOAD_COLUMNS(const hearth_tile_elements of, const hearth_tile_product* p, size_t at) {
  if (of == HEARTH_TILE_FLOATS) return LOAD(p->b + at);
  if (of == HEARTH_TILE_HALVES) {
    HALVES x;
    memcpy(&x, p->halves + at, sizeof x);
    return __builtin_convertvector(x, VECTOR);
  }
  BYTES x;
  memcpy(&x, p->bytes + at, sizeof x);
  return __builtin_convertvector(x, VECTOR);
}

/// `rows` rows by `vectors` registers of columns of c, all held in registers; both are constants where
/// this is inlined. Besides the sums, the shorter side stays in registers and the longer passes
/// through one, so that BAND by 2 fills the registers there are without spilling.
HEARTH_INLINE void TILE(const hearth_tile_elements of, const size_t rows, const size_t vectors,
                        const hearth_tile_product* p, size_t row, size_t column) {
  VECTOR sum[BAND][4];
  const float* a = p->a + row * p->a_row;
  size_t b = column;
  float* c = p->c + row * p->c_row + column;
  const size_t a_row = p->a_row, a_step = p->a_step, b_row = p->b_row, depth = p->depth;
  const size_t element = of == HEARTH_TILE_HALVES ? 2 : 1;
  UNROLLED for (size_t i = 0; i < rows; i++)
    UNROLLED for (size_t v = 0; v < vectors; v++)
      sum[i][v] = p->keep ? LOAD(c + i * p->c_row + v * WIDTH) : (VECTOR)(0.0f);
  for (size_t k = 0; k < depth; k++, a += a_step, b += b_row) {
    if (of != HEARTH_TILE_FLOATS)
      UNROLLED for (size_t byte = 0; byte < vectors * WIDTH * element; byte += 64)
        __builtin_prefetch((const char*)p->ahead + b * element + byte);
    if (rows > vectors) {
      VECTOR columns[4];
      UNROLLED for (size_t v = 0; v < vectors; v++) columns[v] = LOAD_COLUMNS(of, p, b + v * WIDTH);
      UNROLLED for (size_t i = 0; i < rows; i++) {
        VECTOR factor = a[i * a_row];
        UNROLLED for (size_t v = 0; v < vectors; v++)
          sum[i][v] = __builtin_elementwise_fma(factor, columns[v], sum[i][v]);
      }
    } else {
      VECTOR factors[4];
      UNROLLED for (size_t i = 0; i < rows; i++) factors[i] = a[i * a_row];
      UNROLLED for (size_t v = 0; v < vectors; v++) {
        VECTOR columns = LOAD_COLUMNS(of, p, b + v * WIDTH);
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
HEARTH_INLINE void ROW_BAND(const hearth_tile_elements of, const size_t rows, const hearth_tile_product* p, size_t row) {
  size_t column = 0;
  if (rows <= 3)
    for (; column + 4 * WIDTH <= p->columns; column += 4 * WIDTH) TILE(of, rows, 4, p, row, column);
  for (; column + 2 * WIDTH <= p->columns; column += 2 * WIDTH) TILE(of, rows, 2, p, row, column);
  for (; column < p->columns; column += WIDTH) TILE(of, rows, 1, p, row, column);
}

HEARTH_INLINE void MULTIPLY(const hearth_tile_elements of, const hearth_tile_product* p) {
  size_t row = 0;
  for (; row + BAND <= p->rows; row += BAND) ROW_BAND(of, BAND, p, row);
  for (; row + 6 <= p->rows; row += 6) ROW_BAND(of, 6, p, row);
  switch (p->rows - row) {
    case 5: ROW_BAND(of, 5, p, row); break;
    case 4: ROW_BAND(of, 4, p, row); break;
    case 3: ROW_BAND(of, 3, p, row); break;
    case 2: ROW_BAND(of, 2, p, row); break;
    case 1: ROW_BAND(of, 1, p, row); break;
    default: break;
  }
}

/// For instruction sets that widen halves and bytes.
HEARTH_INLINE void MULTIPLY_ANY(void* context, int index, int count) {
  (void)index, (void)count;
  const hearth_tile_product* p = context;
  if (p->halves != NULL)
    MULTIPLY(HEARTH_TILE_HALVES, p);
  else if (p->bytes != NULL)
    MULTIPLY(HEARTH_TILE_BYTES, p);
  else
    MULTIPLY(HEARTH_TILE_FLOATS, p);
}
