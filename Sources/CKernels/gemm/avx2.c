#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "gemm_internal.h"

// The blocking of Goto and van de Geijn ("Anatomy of High-Performance Matrix Multiplication", 2008) around a tile of
// 6 x 16 sums in registers, with one difference: a sum that continues over blocks of k continues from its value
// in C, so that every element is one chain of fmas over k in order.
//
// Packed, a tile's rows of A lie as [k, rows] and a panel's columns of B as [k, 16]. A block of A
// (DEPTH x BLOCK_ROWS) stays in the second-level cache while a panel of B (16 x DEPTH) stays in the first.

enum {
  DEPTH = 320,          ///< most steps of k in a block
  BLOCK_ROWS = 192,     ///< most rows of a block of A
  STRIP_COLUMNS = 1536, ///< columns of B packed at once when several blocks of A use them
  GROUP_COLUMNS = 64,   ///< likewise when one block does: just enough to read whole lines of B
  DIRECT_COLUMNS = 32,  ///< up to this width, A is read in place: packing would not pay
  SLACK = 8,            ///< floats that a packing store may write past its tile
};

#define AVX2 __attribute__((target("avx2,fma")))
#define INLINE AVX2 __attribute__((always_inline)) static inline

size_t hearth_product_avx2_bytes(void) {
  return (DEPTH * BLOCK_ROWS + SLACK + DEPTH * STRIP_COLUMNS) * sizeof(float);
}

/// The tile itself: c [rows, 8 * vectors] continues over `depth` steps. A's element (r, l) is at
/// a[r * row_step + l * depth_step]; b is a packed panel.
INLINE void multiply_tile(const int rows, const int vectors, size_t depth, const float* a,
                          size_t row_step, size_t depth_step, const float* b, float* c, size_t ldc,
                          bool continues) {
  __m256 sum[HEARTH_TILE_ROWS][2];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++)
      sum[r][v] = continues ? _mm256_loadu_ps(c + (size_t)r * ldc + 8 * v) : _mm256_setzero_ps();
  for (size_t l = 0; l < depth; l++) {
    __m256 column[2];
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) column[v] = _mm256_load_ps(b + 8 * v);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
      __m256 element = _mm256_broadcast_ss(a + (size_t)r * row_step);
#pragma clang loop unroll(full)
      for (int v = 0; v < vectors; v++) sum[r][v] = _mm256_fmadd_ps(element, column[v], sum[r][v]);
    }
    a += depth_step;
    b += HEARTH_TILE_COLUMNS;
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) _mm256_storeu_ps(c + (size_t)r * ldc + 8 * v, sum[r][v]);
}

AVX2 static void multiply_any_tile(size_t rows, size_t vectors, size_t depth, const float* a,
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
AVX2 static void multiply_edge_tile(size_t rows, size_t columns, size_t depth, const float* a,
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

/// Steps l ..< l + 4 of eight rows become four columns of eight.
INLINE void transpose_8x4(__m256 out[4], const float* const row[8], size_t l) {
  __m256 r[4];
  for (int i = 0; i < 4; i++)
    r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(row[i] + l)),
                                _mm_loadu_ps(row[i + 4] + l), 1);
  __m256 low01 = _mm256_unpacklo_ps(r[0], r[1]), high01 = _mm256_unpackhi_ps(r[0], r[1]);
  __m256 low23 = _mm256_unpacklo_ps(r[2], r[3]), high23 = _mm256_unpackhi_ps(r[2], r[3]);
  out[0] = _mm256_shuffle_ps(low01, low23, 0x44);
  out[1] = _mm256_shuffle_ps(low01, low23, 0xee);
  out[2] = _mm256_shuffle_ps(high01, high23, 0x44);
  out[3] = _mm256_shuffle_ps(high01, high23, 0xee);
}

/// out[l * step + r] = source[r * ld + l] for up to 8 rows. Writes eight floats a step whatever `rows` is: what lies
/// beyond is overwritten by the next step, belongs to a column that is never stored, or is slack.
AVX2 static void pack_transposed(float* out, size_t step, size_t rows, size_t depth,
                                 const float* source, size_t ld) {
  const float* row[8];
  for (size_t r = 0; r < 8; r++) row[r] = source + (r < rows ? r : 0) * ld;
  size_t l = 0;
  for (; l + 4 <= depth; l += 4) {
    __m256 columns[4];
    transpose_8x4(columns, row, l);
    for (size_t i = 0; i < 4; i++) _mm256_storeu_ps(out + (l + i) * step, columns[i]);
  }
  for (; l < depth; l++)
    for (size_t r = 0; r < rows; r++) out[l * step + r] = row[r][l];
}

/// out[l * step + r] = source[l * ld + r] for up to 8 rows, writing eight floats a step likewise.
AVX2 static void pack_straight(float* out, size_t step, size_t rows, size_t depth,
                               const float* source, size_t ld) {
  __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)rows), lanes);
  for (size_t l = 0; l < depth; l++)
    _mm256_storeu_ps(out + l * step, _mm256_maskload_ps(source + l * ld, mask));
}

/// Sixteen whole columns of a B stored [k, n], the common case of the above.
AVX2 static void pack_panel_straight(float* out, size_t depth, const float* source, size_t ld) {
  for (size_t l = 0; l < depth; l++) {
    _mm256_store_ps(out + l * 16, _mm256_loadu_ps(source + l * ld));
    _mm256_store_ps(out + l * 16 + 8, _mm256_loadu_ps(source + l * ld + 8));
  }
}

/// Rows of A that tile `tile` of `tiles` begins at: tiles of nearly equal height, so that none is thin.
static size_t tile_start(size_t rows, size_t tile, size_t tiles) { return rows * tile / tiles; }

static size_t tile_count(size_t rows) { return (rows + HEARTH_TILE_ROWS - 1) / HEARTH_TILE_ROWS; }

/// Packs rows `first` ..< `first + rows` of op(A), steps `start` ..< `start + depth`.
AVX2 static void pack_a(float* out, const hearth_product* p, size_t first, size_t rows,
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
AVX2 static void pack_b(float* out, const hearth_product* p, size_t first, size_t columns,
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

AVX2 static void multiply_block(const block* k) {
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

AVX2 void hearth_product_avx2(const hearth_product* p, void* workspace) {
  float* panels = workspace;
  float* rows_packed = panels + DEPTH * STRIP_COLUMNS;
  bool in_place = !p->transpose_a && p->n <= DIRECT_COLUMNS;
  size_t blocks = parts(p->m, BLOCK_ROWS), depths = parts(p->k, DEPTH);
  // With one block of A, its packed form serves all of B, which then needs to be packed only a group of
  // panels ahead. With several, a strip of B is packed once for all of them.
  bool once = blocks == 1;
  size_t strip = once ? p->n : STRIP_COLUMNS, group = once ? GROUP_COLUMNS : STRIP_COLUMNS;
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

#endif
