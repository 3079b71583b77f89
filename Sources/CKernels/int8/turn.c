#include <stdlib.h>

#include "../affine/affine_internal.h"
#include "../pieces.h"
#include "columns.h"

// Matrices turned round: of 128 rows each column becomes a block of a lane.

typedef struct {
  const hearth_affine* affine;  ///< or
  hearth_int8_source from;
  hearth_int8* to;
  hearth_pieces blocks;
  _Atomic bool failed;
} turning;

/// Rounds `depth` rows of a vector of the tile to its place in a block of `width` lanes.
HEARTH_INLINE void quantize_lanes(const column_tile* t, const int vector, size_t depth, size_t width, uint8_t* block) {
  const column_scales scales = scales_of(t, vector, depth);
  const size_t groups = (depth + 3) / 4, first = (size_t)vector * LANE_COUNT;
  for (size_t g = 0; g < groups; g++) {
    bit_lanes fours = HEARTH_INT8_OFFSET * 0x01010101u;
    for (size_t j = 0; j < 4 && 4 * g + j < depth; j++)
      fours += __builtin_convertvector(rounded_columns(t, vector, 4 * g + j, &scales), bit_lanes) << 8 * j;
    memcpy(block + (g * width + first) * 4, &fours, sizeof fours);
  }
  memcpy(block + (groups * width + first) * 4, &scales.scale, sizeof scales.scale);
}

/// One block of all lanes.
HEARTH_INLINE void turn_block(turning* t, size_t block) {
  hearth_int8* to = t->to;
  const size_t start = block * HEARTH_INT8_BLOCK, rest = to->depth - start;
  const size_t depth = rest < HEARTH_INT8_BLOCK ? rest : HEARTH_INT8_BLOCK;
  hearth_int8_source from = t->from;
  size_t row = start;
  float* unpacked = NULL;
  if (t->affine != NULL) {
    unpacked = malloc(depth * to->lanes * sizeof *unpacked);
    if (unpacked == NULL) {
      t->failed = true;
      return;
    }
    hearth_affine_dequantize_rows(t->affine, unpacked, to->lanes, start, depth);
    from = (hearth_int8_source){.floats = unpacked, .ld = to->lanes};
    row = 0;
  }
  column_tile columns;
  for (size_t lane = 0; lane < to->lanes; lane += HEARTH_INT8_LANES) {
    const size_t width = hearth_int8_width(to->lanes, lane), left = to->lanes - lane;
    uint8_t* out = hearth_int8_panel(to, lane) + hearth_int8_block_offset(width, block);
    if (depth == HEARTH_INT8_BLOCK && left >= HEARTH_INT8_LANES) {
      // The same with numbers that the compiler knows.
      read_columns(&columns, &from, row, HEARTH_INT8_BLOCK, lane, HEARTH_INT8_LANES, HEARTH_INT8_LANES);
      for (int v = 0; v < HEARTH_INT8_VECTORS; v++)
        quantize_lanes(&columns, v, HEARTH_INT8_BLOCK, HEARTH_INT8_LANES, out);
      continue;
    }
    read_columns(&columns, &from, row, depth, lane, left < width ? left : width, 0);
    for (int v = 0; v < (int)(width / LANE_COUNT); v++) quantize_lanes(&columns, v, depth, width, out);
  }
  free(unpacked);
}

HEARTH_INLINE void turn_task_body(void* context, int index, int count) {
  (void)index;
  turning* t = context;
  size_t first, last;
  while (hearth_pieces_take(&t->blocks, (size_t)count, &first, &last))
    for (size_t block = first; block < last; block++) turn_block(t, block);
}
HEARTH_KERNEL(turn_task)

static bool turn(hearth_pool* pool, turning t) {
  hearth_pieces_begin(&t.blocks, t.to->blocks);
  hearth_pool_share(pool, turn_task, &t);
  return !t.failed;
}

hearth_int8* hearth_int8_turn(hearth_pool* pool, const hearth_affine* matrix) {
  hearth_int8* turned = hearth_int8_create(matrix->columns, matrix->rows, NULL);
  if (turned == NULL || turn(pool, (turning){.affine = matrix, .to = turned})) return turned;
  hearth_int8_free(turned);
  return NULL;
}

void hearth_int8_turn_floats(hearth_pool* pool, hearth_int8* to, const float* x, size_t ldx) {
  turn(pool, (turning){.from = {.floats = x, .ld = ldx}, .to = to});
}

void hearth_int8_turn_halves(hearth_pool* pool, hearth_int8* to, const uint16_t* x, size_t ldx) {
  turn(pool, (turning){.from = {.halves = x, .ld = ldx}, .to = to});
}
