#include <stdlib.h>
#include <string.h>

#include "int8_internal.h"

// A matrix in 8 bits and its memory.

hearth_int8* hearth_int8_create(size_t lanes, size_t depth, void* memory) {
  hearth_int8* matrix = malloc(sizeof *matrix);
  if (matrix == NULL) return NULL;
  *matrix = (hearth_int8){.lanes = lanes, .depth = depth, .blocks = hearth_int8_blocks(depth), .data = memory};
  if (memory != NULL) return matrix;
  matrix->memory = hearth_weights_take(hearth_int8_bytes(lanes, depth));
  matrix->data = matrix->memory.data;
  if (matrix->data != NULL) return matrix;
  free(matrix);
  return NULL;
}

void hearth_int8_free(hearth_int8* matrix) {
  if (matrix == NULL) return;
  if (matrix->memory.data != NULL) hearth_weights_give(matrix->memory);
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
