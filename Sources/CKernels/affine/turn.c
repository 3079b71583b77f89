#include <stdlib.h>

#include "../pieces.h"
#include "affine_internal.h"

// A packed matrix turned round: 32 of its rows at a time are unpacked, and each column of these becomes a block of Q8_0, by that
// format's own rule. The blocks are packed like those of a file.

typedef struct {
  const hearth_affine* matrix;
  const hearth_format* format;
  uint8_t* blocks;  ///< [columns, rows / 32]
  hearth_pieces stripes;
  _Atomic bool failed;
} turning;

static void turn_stripes(void* context, int index, int count) {
  (void)index;
  turning* t = context;
  const hearth_affine* matrix = t->matrix;
  const size_t columns = matrix->columns, row_bytes = matrix->rows / HEARTH_BLOCK_COLUMNS * t->format->block_bytes;
  float* rows = malloc(HEARTH_BLOCK_COLUMNS * columns * sizeof *rows);
  if (rows == NULL) {
    t->failed = true;
    return;
  }
  size_t first, last;
  while (hearth_pieces_take(&t->stripes, (size_t)count, &first, &last))
    for (size_t stripe = first; stripe < last; stripe++) {
      hearth_affine_dequantize_rows(matrix, rows, columns, stripe * HEARTH_BLOCK_COLUMNS, HEARTH_BLOCK_COLUMNS);
      for (size_t column = 0; column < columns; column++) {
        float block[HEARTH_BLOCK_COLUMNS];
        for (size_t i = 0; i < HEARTH_BLOCK_COLUMNS; i++) block[i] = rows[i * columns + column];
        t->format->quantize(t->blocks + column * row_bytes + stripe * t->format->block_bytes, block,
                            HEARTH_BLOCK_COLUMNS);
      }
    }
  free(rows);
}

hearth_affine* hearth_affine_turn(hearth_pool* pool, const hearth_affine* matrix) {
  enum { Q8_0 = 8 };
  const hearth_format* format = hearth_format_for(Q8_0);
  if (format == NULL || matrix->rows % HEARTH_BLOCK_COLUMNS != 0) return NULL;
  const size_t stripes = matrix->rows / HEARTH_BLOCK_COLUMNS, row_bytes = stripes * format->block_bytes;
  turning t = {.matrix = matrix, .format = format, .blocks = malloc(matrix->columns * row_bytes)};
  if (t.blocks == NULL) return NULL;
  hearth_pieces_begin(&t.stripes, stripes);
  hearth_pool_share(pool, turn_stripes, &t);
  hearth_affine* turned =
      t.failed ? NULL : hearth_affine_pack(pool, format, t.blocks, row_bytes, matrix->columns, matrix->rows, 1);
  free(t.blocks);
  return turned;
}
