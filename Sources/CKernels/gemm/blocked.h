// The text of a matrix product around an instruction set's register tile, included once for each. The includer defines
//
//     TARGET               the function attribute, INLINE the same for what is inlined
//     PRODUCT              the function this defines
//     multiply_tile        the tile, for rows and vectors of eight columns that are constants
//     pack_transposed, pack_straight, pack_panel_straight
//
// The blocking of Goto and van de Geijn ("Anatomy of High-Performance Matrix Multiplication", 2008) around a tile of
// 6 x 16 sums in registers, with one difference: a sum that continues over blocks of k continues from its value
// in C, so that every element is one chain of fmas over k in order.
//
// Packed, a tile's rows of A lie as [k, rows] and a panel's columns of B as [k, 16]. A block of A stays in the second-level
// cache while a panel of B stays in the first.

enum {
  GROUP_COLUMNS = 64,   ///< columns of B packed at once when one block of A uses them: enough to read whole lines of B
  DIRECT_COLUMNS = 32,  ///< up to this width, A is read in place: packing would not pay
};

TARGET static void multiply_any_tile(size_t rows, size_t vectors, size_t depth, const float* a,
                                     size_t row_step, size_t depth_step, const float* b, float* c,
                                     size_t ldc, bool continues) {
#define CASE(ROWS, VECTORS)                                                                  \
  case ROWS * 2 + VECTORS - 1:                                                               \
    multiply_tile(ROWS, VECTORS, depth, a, row_step, depth_step, b, c, ldc, continues); \
    break;
  switch (rows * 2 + vectors - 1) {
    CASE(1, 1) CASE(2, 1) CASE(3, 1) CASE(4, 1) CASE(5, 1) CASE(6, 1)
    CASE(1, 2) CASE(2, 2) CASE(3, 2) CASE(4, 2) CASE(5, 2) CASE(6, 2)
  }
#undef CASE
}

/// A tile of any width: one that does not fill its vectors goes through memory that does.
TARGET static void multiply_edge_tile(size_t rows, size_t columns, size_t depth, const float* a,
                                      size_t row_step, size_t depth_step, const float* b, float* c,
                                      size_t ldc, bool continues) {
  size_t vectors = columns > 8 ? 2 : 1;
  if (columns == 8 * vectors) {
    multiply_any_tile(rows, vectors, depth, a, row_step, depth_step, b, c, ldc, continues);
    return;
  }
  float whole[HEARTH_TILE_ROWS * HEARTH_TILE_COLUMNS] = {0};
  for (size_t r = 0; r < rows && continues; r++)
    memcpy(whole + r * HEARTH_TILE_COLUMNS, c + r * ldc, columns * sizeof *c);
  multiply_any_tile(rows, vectors, depth, a, row_step, depth_step, b, whole, HEARTH_TILE_COLUMNS,
                    continues);
  for (size_t r = 0; r < rows; r++)
    memcpy(c + r * ldc, whole + r * HEARTH_TILE_COLUMNS, columns * sizeof *c);
}

/// Rows of A that tile `tile` of `tiles` begins at: tiles of nearly equal height, so that none is thin.
static size_t tile_start(size_t rows, size_t tile, size_t tiles) { return rows * tile / tiles; }

static size_t tile_count(size_t rows) { return (rows + HEARTH_TILE_ROWS - 1) / HEARTH_TILE_ROWS; }

/// Packs rows `first` ..< `first + rows` of op(A), steps `start` ..< `start + depth`.
TARGET static void pack_a(float* out, const hearth_product* p, size_t first, size_t rows,
                          size_t start, size_t depth) {
  size_t tiles = tile_count(rows);
  for (size_t t = 0; t < tiles; t++) {
    size_t row = tile_start(rows, t, tiles), height = tile_start(rows, t + 1, tiles) - row;
    if (p->transpose_a)
      pack_straight(out, height, height, depth, p->a + start * p->lda + first + row, p->lda);
    else
      pack_transposed(out, height, height, depth, p->a + (first + row) * p->lda + start, p->lda);
    out += height * depth;
  }
}

/// Packs columns `first` ..< `first + columns` of op(B), steps `start` ..< `start + depth`.
TARGET static void pack_b(float* out, const hearth_product* p, size_t first, size_t columns,
                          size_t start, size_t depth) {
  for (size_t panel = 0; panel < columns; panel += 16, out += depth * 16) {
    size_t column = first + panel, width = columns - panel < 16 ? columns - panel : 16;
    if (!p->transpose_b && width == 16) {
      pack_panel_straight(out, depth, p->b + start * p->ldb + column, p->ldb);
      continue;
    }
    for (size_t half = 0; half < width; half += 8) {
      size_t lanes = width - half < 8 ? width - half : 8;
      if (p->transpose_b)
        pack_transposed(out + half, 16, lanes, depth, p->b + (column + half) * p->ldb + start,
                        p->ldb);
      else
        pack_straight(out + half, 16, lanes, depth, p->b + start * p->ldb + column + half, p->ldb);
    }
  }
}

/// A block of op(A), packed or in place, times packed panels of B.
typedef struct {
  const float* a;
  size_t rows, row_step, depth;  ///< `row_step` is 0 when packed
  const float* panels;
  size_t columns;
  float* c;
  size_t ldc;
  bool continues;
} block;

TARGET static void multiply_block(const block* k) {
  size_t tiles = tile_count(k->rows);
  for (size_t column = 0; column < k->columns; column += 16) {
    size_t width = k->columns - column < 16 ? k->columns - column : 16;
    const float* panel = k->panels + column * k->depth;
    for (size_t t = 0; t < tiles; t++) {
      size_t row = tile_start(k->rows, t, tiles);
      size_t height = tile_start(k->rows, t + 1, tiles) - row;
      float* c = k->c + row * k->ldc + column;
      if (k->row_step == 0)
        multiply_edge_tile(height, width, k->depth, k->a + row * k->depth, 1, height, panel, c,
                           k->ldc, k->continues);
      else
        multiply_edge_tile(height, width, k->depth, k->a + row * k->row_step, k->row_step, 1, panel,
                           c, k->ldc, k->continues);
    }
  }
}

static size_t parts(size_t extent, size_t most) { return (extent + most - 1) / most; }

TARGET void PRODUCT(const hearth_product* p, void* workspace) {
  float* panels = workspace;
  float* rows_packed = panels + HEARTH_BLOCK_DEPTH * HEARTH_STRIP_COLUMNS;
  bool in_place = !p->transpose_a && p->n <= DIRECT_COLUMNS;
  size_t blocks = parts(p->m, HEARTH_BLOCK_ROWS), depths = parts(p->k, HEARTH_BLOCK_DEPTH);
  // With one block of A, its packed form serves all of B, which then needs to be packed only a group of
  // panels ahead. With several, a strip of B is packed once for all of them.
  bool once = blocks == 1;
  size_t strip = once ? p->n : HEARTH_STRIP_COLUMNS, group = once ? GROUP_COLUMNS : HEARTH_STRIP_COLUMNS;
  for (size_t left = 0; left < p->n; left += strip) {
    size_t right = p->n - left < strip ? p->n : left + strip;
    for (size_t d = 0; d < depths; d++) {
      size_t start = p->k * d / depths, depth = p->k * (d + 1) / depths - start;
      for (size_t i = 0; i < blocks; i++) {
        size_t top = p->m * i / blocks, rows = p->m * (i + 1) / blocks - top;
        if (!in_place) pack_a(rows_packed, p, top, rows, start, depth);
        for (size_t column = left; column < right; column += group) {
          size_t columns = right - column < group ? right - column : group;
          if (i == 0) pack_b(panels, p, column, columns, start, depth);
          multiply_block(&(block){.a = in_place ? p->a + top * p->lda + start : rows_packed,
                                  .rows = rows,
                                  .row_step = in_place ? p->lda : 0,
                                  .depth = depth,
                                  .panels = panels,
                                  .columns = columns,
                                  .c = p->c + top * p->ldc + column,
                                  .ldc = p->ldc,
                                  .continues = d > 0 || p->accumulate});
        }
      }
    }
  }
}
