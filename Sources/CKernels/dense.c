#include "include/dense.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "dense/dense_internal.h"
#include "include/bf16.h"
#include "pieces.h"

// Products of packed matrices of floats. The work is cut into pieces, one panel of one matrix and a chunk of the tokens
// each; which thread does a piece changes nothing in it.

typedef struct {
  hearth_dense* matrix;
  const uint8_t* rows;
  size_t row_bytes;
  hearth_pieces pieces;  ///< panels
} packing;

typedef uint16_t eight __attribute__((ext_vector_type(8)));
#define INTERLEAVE_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define INTERLEAVE_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)

/// Turns eight rows of eight elements of two bytes, `row_bytes` apart, into columns HEARTH_DENSE_ROWS elements apart.
static inline void transpose_eight(uint16_t* to, const uint8_t* from, size_t row_bytes) {
  eight x[8], y[8];
  for (size_t r = 0; r < 8; r++) memcpy(&x[r], from + r * row_bytes, sizeof x[r]);
  // Rows four apart meet, then those two apart, then neighbours: three rounds of interleaving are a transposition.
  for (int round = 0; round < 3; round++) {
    for (size_t i = 0; i < 4; i++) {
      y[2 * i] = INTERLEAVE_LOW(x[i], x[i + 4]);
      y[2 * i + 1] = INTERLEAVE_HIGH(x[i], x[i + 4]);
    }
    memcpy(x, y, sizeof x);
  }
  for (size_t k = 0; k < 8; k++) memcpy(to + k * HEARTH_DENSE_ROWS, &x[k], sizeof x[k]);
}

/// Turns `rows` rows of elements of `size` bytes into columns. Called with constants, so that elements are moved in registers; a
/// stretch of columns at a time, so that what is written stays in the cache.
static inline void transpose(uint8_t* to, const uint8_t* from, size_t row_bytes, size_t rows,
                             size_t columns, const size_t size) {
  enum { STRETCH = 64 };
  for (size_t first = 0; first < columns; first += STRETCH) {
    size_t last = first + STRETCH < columns ? first + STRETCH : columns;
    size_t r = 0;
    for (; size == 2 && last - first == STRETCH && r + 8 <= rows; r += 8)
      for (size_t k = first; k < last; k += 8)
        transpose_eight((uint16_t*)(void*)to + k * HEARTH_DENSE_ROWS + r, from + r * row_bytes + k * size, row_bytes);
    for (; r < rows; r++)
      // The file's rows may lie at any address.
      for (size_t k = first; k < last; k++)
        memcpy(to + (k * HEARTH_DENSE_ROWS + r) * size, from + r * row_bytes + k * size, size);
  }
}

static void pack_panels(void* context, int index, int count) {
  (void)index;
  packing* p = context;
  const hearth_dense* matrix = p->matrix;
  const size_t panel_bytes = matrix->columns * HEARTH_DENSE_ROWS * matrix->element_bytes;
  size_t first, last;
  while (hearth_pieces_take(&p->pieces, (size_t)count, &first, &last))
    for (size_t panel = first; panel < last; panel++) {
      uint8_t* to = matrix->data + panel * panel_bytes;
      size_t top = panel * HEARTH_DENSE_ROWS, left = matrix->rows - top;
      size_t rows = left < HEARTH_DENSE_ROWS ? left : HEARTH_DENSE_ROWS;
      if (rows < HEARTH_DENSE_ROWS) memset(to, 0, panel_bytes);
      const uint8_t* from = p->rows + top * p->row_bytes;
      if (matrix->type == HEARTH_DENSE_BF16_ROUNDED)
        // Pairs of neighbours stay together.
        transpose(to, from, p->row_bytes, rows, matrix->columns / 2, 4);
      else if (matrix->element_bytes == 2)
        transpose(to, from, p->row_bytes, rows, matrix->columns, 2);
      else
        transpose(to, from, p->row_bytes, rows, matrix->columns, 4);
    }
}

hearth_dense* hearth_dense_pack(hearth_pool* pool, hearth_dense_type type, const void* elements,
                                size_t row_bytes, size_t rows, size_t columns) {
  if (type == HEARTH_DENSE_BF16_ROUNDED && columns % 2 != 0) type = HEARTH_DENSE_BF16;
  hearth_dense* matrix = malloc(sizeof *matrix);
  if (matrix == NULL) return NULL;
  *matrix = (hearth_dense){.rows = rows,
                           .columns = columns,
                           .panels = rows / HEARTH_DENSE_ROWS + (rows % HEARTH_DENSE_ROWS != 0),
                           .type = type,
                           .element_bytes = type == HEARTH_DENSE_F32 ? 4 : 2};
  size_t bytes;
  if (__builtin_mul_overflow(matrix->panels, columns, &bytes) ||
      __builtin_mul_overflow(bytes, HEARTH_DENSE_ROWS * matrix->element_bytes, &bytes) ||
      (matrix->memory = hearth_weights_take(bytes)).data == NULL) {
    free(matrix);
    return NULL;
  }
  matrix->data = matrix->memory.data;
  packing p = {.matrix = matrix, .rows = elements, .row_bytes = row_bytes};
  hearth_pieces_begin(&p.pieces, matrix->panels);
  hearth_pool_share(pool, pack_panels, &p);
  return matrix;
}

void hearth_dense_free(hearth_dense* matrix) {
  if (matrix == NULL) return;
  hearth_weights_give(matrix->memory);
  free(matrix);
}

size_t hearth_dense_bytes(const hearth_dense* matrix) {
  return matrix->panels * matrix->columns * HEARTH_DENSE_ROWS * matrix->element_bytes;
}

typedef struct {
  const hearth_dense* const* matrices;
  const float* x;
  size_t ldx, tokens, panels, chunks;
  float* const* ys;
  const size_t* ldys;
  const uint16_t* rounded;
  size_t ldrounded;
  hearth_pieces pieces;
} job;

static void multiply_piece(const job* j, size_t piece) {
  size_t chunk = piece / j->panels, panel = piece % j->panels, matrix = 0;
  while (panel >= j->matrices[matrix]->panels) panel -= j->matrices[matrix++]->panels;
  size_t first = j->tokens * chunk / j->chunks, last = j->tokens * (chunk + 1) / j->chunks;
  const hearth_dense_product product = {.matrix = j->matrices[matrix],
                                        .panel = panel,
                                        .first = first,
                                        .tokens = last - first,
                                        .x = j->x,
                                        .ldx = j->ldx,
                                        .rounded = j->rounded,
                                        .ldrounded = j->ldrounded,
                                        .y = j->ys[matrix],
                                        .ldy = j->ldys[matrix]};
  if (product.matrix->type == HEARTH_DENSE_BF16_ROUNDED)
    hearth_dense_rounded_panel_product(&product);
  else
    hearth_dense_panel_product(&product);
}

static void multiply_pieces(void* context, int index, int count) {
  (void)index;
  job* j = context;
  size_t first, last;
  while (hearth_pieces_take(&j->pieces, (size_t)count, &first, &last))
    for (size_t piece = first; piece < last; piece++) multiply_piece(j, piece);
}

static bool wants_rounded(size_t count, const hearth_dense* const* matrices) {
  for (size_t i = 0; i < count; i++)
    if (matrices[i]->type == HEARTH_DENSE_BF16_ROUNDED) return true;
  return false;
}

size_t hearth_dense_rounded_count(size_t count, const hearth_dense* const* matrices, size_t tokens) {
  return wants_rounded(count, matrices) ? tokens * hearth_bf16_stride(matrices[0]->columns) : 0;
}

void hearth_dense_matmul(hearth_pool* pool, size_t count, const hearth_dense* const* matrices,
                         const float* x, size_t ldx, size_t tokens, float* const* ys,
                         const size_t* ldys, uint16_t* rounded) {
  job j = {.matrices = matrices,
           .x = x,
           .ldx = ldx,
           .tokens = tokens,
           .chunks = (tokens + HEARTH_DENSE_TOKENS - 1) / HEARTH_DENSE_TOKENS,
           .ys = ys,
           .ldys = ldys};
  for (size_t i = 0; i < count; i++) j.panels += matrices[i]->panels;
  if (j.panels == 0 || tokens == 0) return;
  if (wants_rounded(count, matrices)) {
    j.rounded = rounded;
    j.ldrounded = hearth_bf16_stride(matrices[0]->columns);
    hearth_bf16_round(pool, rounded, j.ldrounded, x, ldx, tokens, matrices[0]->columns);
  }
  hearth_pieces_begin(&j.pieces, j.panels * j.chunks);
  hearth_pool_share(pool, multiply_pieces, &j);
}
