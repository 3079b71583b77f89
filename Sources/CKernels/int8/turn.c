#include "../affine/affine_internal.h"
#include "../pieces.h"
#include "columns.h"

// Matrices turned round: of 128 rows each column becomes a block of a lane.

typedef struct {
  const hearth_affine* affine;  ///< or
  hearth_int8_source from;
  hearth_int8* to;
  hearth_pieces pieces;
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

_Static_assert(HEARTH_INT8_LANES == HEARTH_BLOCK_COLUMNS && HEARTH_INT8_BLOCK % HEARTH_PANEL_ROWS == 0,
               "a tile is whole blocks of a packed matrix");

/// Reads a tile of a packed matrix.
HEARTH_INLINE void read_packed(column_tile* t, const hearth_affine* matrix, size_t row, size_t depth, size_t lane) {
  for (size_t k = 0; k < depth; k += HEARTH_PANEL_ROWS)
    hearth_affine_dequantize_block(matrix, (row + k) / HEARTH_PANEL_ROWS, lane / HEARTH_BLOCK_COLUMNS, (float*)t->x[k],
                                   HEARTH_INT8_LANES);
}

/// One block of the lanes from `lane` on.
HEARTH_INLINE void turn_block(const turning* t, size_t block, size_t lane) {
  const hearth_int8* to = t->to;
  const size_t start = block * HEARTH_INT8_BLOCK, rest = to->depth - start;
  const size_t depth = rest < HEARTH_INT8_BLOCK ? rest : HEARTH_INT8_BLOCK;
  const size_t width = hearth_int8_width(to->lanes, lane), left = to->lanes - lane;
  uint8_t* out = hearth_int8_panel(to, lane) + hearth_int8_block_offset(width, block);
  column_tile columns;
  if (t->affine != NULL)
    read_packed(&columns, t->affine, start, depth, lane);
  else if (depth == HEARTH_INT8_BLOCK && left >= HEARTH_INT8_LANES)
    // The same with numbers that the compiler knows.
    read_columns(&columns, &t->from, start, HEARTH_INT8_BLOCK, lane, HEARTH_INT8_LANES, HEARTH_INT8_LANES);
  else
    read_columns(&columns, &t->from, start, depth, lane, left < width ? left : width, 0);
  if (depth == HEARTH_INT8_BLOCK && width == HEARTH_INT8_LANES) {
    for (int v = 0; v < HEARTH_INT8_VECTORS; v++)
      quantize_lanes(&columns, v, HEARTH_INT8_BLOCK, HEARTH_INT8_LANES, out);
    return;
  }
  for (int v = 0; v < (int)(width / LANE_COUNT); v++) quantize_lanes(&columns, v, depth, width, out);
}

/// Pieces are tiles, block by block.
HEARTH_INLINE void turn_task_body(void* context, int index, int count) {
  (void)index;
  turning* t = context;
  const size_t tiles = (t->to->lanes + HEARTH_INT8_LANES - 1) / HEARTH_INT8_LANES;
  size_t first, last;
  while (hearth_pieces_take(&t->pieces, (size_t)count, &first, &last))
    for (size_t piece = first; piece < last; piece++) turn_block(t, piece / tiles, piece % tiles * HEARTH_INT8_LANES);
}
HEARTH_KERNEL(turn_task)

static void turn(hearth_pool* pool, turning t) {
  hearth_pieces_begin(&t.pieces, t.to->blocks * ((t.to->lanes + HEARTH_INT8_LANES - 1) / HEARTH_INT8_LANES));
  hearth_pool_share(pool, turn_task, &t);
}

hearth_int8* hearth_int8_turn(hearth_pool* pool, const hearth_affine* matrix) {
  hearth_int8* turned = hearth_int8_create(matrix->columns, matrix->rows, NULL);
  if (turned != NULL) hearth_int8_turn_packed(pool, turned, matrix);
  return turned;
}

void hearth_int8_turn_packed(hearth_pool* pool, hearth_int8* to, const hearth_affine* matrix) {
  turn(pool, (turning){.affine = matrix, .to = to});
}

void hearth_int8_turn_floats(hearth_pool* pool, hearth_int8* to, const float* x, size_t ldx) {
  turn(pool, (turning){.from = {.floats = x, .ld = ldx}, .to = to});
}

void hearth_int8_turn_halves(hearth_pool* pool, hearth_int8* to, const uint16_t* x, size_t ldx) {
  turn(pool, (turning){.from = {.halves = x, .ld = ldx}, .to = to});
}
