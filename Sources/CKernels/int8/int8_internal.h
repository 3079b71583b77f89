#ifndef HEARTH_INT8_INTERNAL_H
#define HEARTH_INT8_INTERNAL_H

#include <stdbool.h>

#include "../include/int8.h"
#include "../weights.h"

// A panel is 32 lanes of the matrix, or 16 where no more are left. Its blocks follow each other, and in a block
//
//     q        [groups, lanes, 4]: four neighbours along the depth of each lane, plus 128, so that they are unsigned
//     scales   [lanes] in f32
//
// A row has its q first, in order, zeros after the last up to a multiple of four, and then a factor for each block.

enum {
  HEARTH_INT8_LANES = 32,
  HEARTH_INT8_BLOCK = 128,  ///< numbers along the depth with one scale
  HEARTH_INT8_OFFSET = 128,
};

struct hearth_int8 {
  size_t lanes, depth, blocks;
  uint8_t* data;  ///< [panels], aligned to 64 bytes
  hearth_weights memory;
};

/// A row's part in a block.
typedef struct {
  float scale;
  int32_t offset;  ///< what the dot with 128 everywhere has to lose: -128 * (sum of q)
} hearth_int8_factor;

static inline size_t hearth_int8_blocks(size_t depth) { return (depth + HEARTH_INT8_BLOCK - 1) / HEARTH_INT8_BLOCK; }

/// Fours in block `block`, the last of which may be filled up with zeros.
static inline size_t hearth_int8_groups(size_t depth, size_t block) {
  const size_t rest = depth - block * HEARTH_INT8_BLOCK;
  return ((rest < HEARTH_INT8_BLOCK ? rest : HEARTH_INT8_BLOCK) + 3) / 4;
}

/// Lanes of the panel that begins at `lane`.
static inline size_t hearth_int8_width(size_t lanes, size_t lane) {
  return lanes - lane <= 16 ? 16 : HEARTH_INT8_LANES;
}

/// Where a block of a panel of `width` lanes begins, in bytes from the panel's beginning.
static inline size_t hearth_int8_block_offset(size_t width, size_t block) {
  return block * width * (HEARTH_INT8_BLOCK + sizeof(float));
}

static inline size_t hearth_int8_panel_bytes(size_t width, size_t depth) {
  return width * ((depth + 3) / 4 * 4 + hearth_int8_blocks(depth) * sizeof(float));
}

/// The panel that begins at `lane`, a multiple of 32.
static inline uint8_t* hearth_int8_panel(const hearth_int8* matrix, size_t lane) {
  return matrix->data + lane / HEARTH_INT8_LANES * hearth_int8_panel_bytes(HEARTH_INT8_LANES, matrix->depth);
}

/// Where a row's factors begin.
static inline size_t hearth_int8_factor_offset(size_t depth) { return (depth + 7) / 8 * 8; }

/// Sums [rows, lanes], row by row, go on over one block of a panel, or begin with it.
typedef struct {
  const uint8_t* block;
  size_t lanes, groups;  ///< lanes: 16 or 32
  const int8_t* q;       ///< of the first row in this block
  const hearth_int8_factor* factor;
  size_t stride;         ///< from one row to the next, in bytes, of q and of factors
  size_t rows;
  float* sums;
  bool begins;
} hearth_int8_tile;

void hearth_int8_multiply(const hearth_int8_tile* tile);

#endif
