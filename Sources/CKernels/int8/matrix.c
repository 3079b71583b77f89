#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../affine/affine_internal.h"
#include "../pieces.h"
#include "int8_internal.h"

// A packed matrix turned round: 128 of its rows at a time are unpacked, and each column of these becomes a block of a lane.

typedef struct {
  const hearth_affine* from;
  hearth_int8* to;
  hearth_pieces blocks;
  _Atomic bool failed;
} turning;

/// Writes a block of the panel that begins at `lane`, from rows [depth, columns] of which there are `depth`.
static void quantize_block(hearth_int8* to, size_t block, size_t lane, const float* rows, size_t columns, size_t depth) {
  const size_t width = hearth_int8_width(to->lanes, lane), lanes = to->lanes - lane < width ? to->lanes - lane : width;
  const size_t groups = hearth_int8_groups(to->depth, block);
  uint8_t* q = hearth_int8_panel(to, lane) + hearth_int8_block_offset(width, block);
  float largest[HEARTH_INT8_LANES] = {0}, inverse[HEARTH_INT8_LANES];
  for (size_t k = 0; k < depth; k++)
    for (size_t i = 0; i < lanes; i++) {
      const float magnitude = fabsf(rows[k * columns + lane + i]);
      largest[i] = magnitude < INFINITY ? fmaxf(largest[i], magnitude) : INFINITY;
    }
  memset(q, HEARTH_INT8_OFFSET, groups * width * 4);
  for (size_t i = 0; i < width; i++) {
    inverse[i] = 127 / largest[i] < INFINITY ? 127 / largest[i] : 0;
    // What is no number makes none of the lane's sums one.
    const float scale = largest[i] < INFINITY ? (inverse[i] > 0 ? largest[i] / 127 : 0) : NAN;
    memcpy(q + groups * width * 4 + i * sizeof scale, &scale, sizeof scale);
  }
  for (size_t k = 0; k < depth; k++)
    for (size_t i = 0; i < lanes; i++)
      if (inverse[i] > 0)
        q[(k / 4 * width + i) * 4 + k % 4] =
            (uint8_t)(HEARTH_INT8_OFFSET + (int)rintf(rows[k * columns + lane + i] * inverse[i]));
}

static void turn_blocks(void* context, int index, int count) {
  (void)index;
  turning* t = context;
  const size_t columns = t->from->columns;
  float* rows = malloc(HEARTH_INT8_BLOCK * columns * sizeof *rows);
  if (rows == NULL) {
    t->failed = true;
    return;
  }
  size_t first, last;
  while (hearth_pieces_take(&t->blocks, (size_t)count, &first, &last))
    for (size_t block = first; block < last; block++) {
      const size_t start = block * HEARTH_INT8_BLOCK, rest = t->from->rows - start;
      const size_t depth = rest < HEARTH_INT8_BLOCK ? rest : HEARTH_INT8_BLOCK;
      hearth_affine_dequantize_rows(t->from, rows, columns, start, depth);
      for (size_t lane = 0; lane < columns; lane += HEARTH_INT8_LANES)
        quantize_block(t->to, block, lane, rows, columns, depth);
    }
  free(rows);
}

hearth_int8* hearth_int8_turn(hearth_pool* pool, const hearth_affine* matrix) {
  hearth_int8* turned = malloc(sizeof *turned);
  if (turned == NULL) return NULL;
  *turned = (hearth_int8){
      .lanes = matrix->columns, .depth = matrix->rows, .blocks = hearth_int8_blocks(matrix->rows)};
  turned->memory = hearth_weights_take(hearth_int8_bytes(turned->lanes, turned->depth));
  turned->data = turned->memory.data;
  if (turned->data == NULL) {
    free(turned);
    return NULL;
  }
  turning t = {.from = matrix, .to = turned};
  hearth_pieces_begin(&t.blocks, turned->blocks);
  hearth_pool_share(pool, turn_blocks, &t);
  if (!t.failed) return turned;
  hearth_int8_free(turned);
  return NULL;
}

void hearth_int8_free(hearth_int8* matrix) {
  if (matrix == NULL) return;
  hearth_weights_give(matrix->memory);
  free(matrix);
}

size_t hearth_int8_lanes(const hearth_int8* matrix) { return matrix->lanes; }
size_t hearth_int8_depth(const hearth_int8* matrix) { return matrix->depth; }

size_t hearth_int8_bytes(size_t lanes, size_t depth) {
  const size_t full = lanes / HEARTH_INT8_LANES, rest = lanes % HEARTH_INT8_LANES;
  return full * hearth_int8_panel_bytes(HEARTH_INT8_LANES, depth) +
         (rest > 0 ? hearth_int8_panel_bytes(hearth_int8_width(rest, 0), depth) : 0);
}

void hearth_int8_values(const hearth_int8* matrix, float* out) {
  for (size_t i = 0; i < matrix->lanes; i++) {
    const size_t lane = i / HEARTH_INT8_LANES * HEARTH_INT8_LANES, width = hearth_int8_width(matrix->lanes, lane);
    for (size_t k = 0; k < matrix->depth; k++) {
      const size_t block = k / HEARTH_INT8_BLOCK, at = k % HEARTH_INT8_BLOCK;
      const uint8_t* q = hearth_int8_panel(matrix, lane) + hearth_int8_block_offset(width, block);
      float scale;
      memcpy(&scale, q + (hearth_int8_groups(matrix->depth, block) * 4 * width + (i - lane) * sizeof scale), sizeof scale);
      out[i * matrix->depth + k] = scale * (float)(q[(at / 4 * width + i - lane) * 4 + at % 4] - HEARTH_INT8_OFFSET);
    }
  }
}
