#ifndef HEARTH_BF16_INTERNAL_H
#define HEARTH_BF16_INTERNAL_H

#include "../include/bf16.h"

// A panel is 32 lanes of an operand, or 16 where no more are needed: [pairs, lanes] pairs of neighbours along the depth, the first
// in the lower half. Lanes beyond the last, and an odd depth's partner, are zero.

enum {
  HEARTH_BF16_LANES = 32,
  HEARTH_BF16_DEPTH = 4096,  ///< most of a panel at once; even
  HEARTH_BF16_ROWS = 1024,   ///< most rows of a piece
};

/// What sums go on with after a panel, from registers: more numbers of the same rows, and a panel of as many lanes.
typedef struct {
  const uint16_t* a;
  size_t lda, pairs;
  const uint16_t* panel;
} hearth_bf16_continuation;

/// A piece's sums continue over one panel: sums [rows, lanes], row by row; `begins` where they begin at zero.
typedef struct {
  const uint16_t* a;
  size_t lda, rows, pairs;
  const uint16_t* panel;
  size_t lanes;  ///< 16 or 32
  float* sums;
  bool begins;
  hearth_bf16_continuation then;  ///< nothing where it has no pairs
} hearth_bf16_tile;

void hearth_bf16_multiply(const hearth_bf16_tile* tile);

enum { HEARTH_BF16_FEW_ROWS = 16 };

/// The sums [rows, 32 or 16 lanes] of at most HEARTH_BF16_FEW_ROWS rows go on over all of a depth, or begin with it; b is stored
/// [depth, lanes] in bf16.
typedef struct {
  const uint16_t* a;
  size_t lda, rows;
  const uint16_t* b;
  size_t ldb, depth;
  size_t lanes;  ///< at most 32
  float* sums;
  bool begins;
} hearth_bf16_columns;

/// False, and nothing done, where the CPU has no instruction for it.
bool hearth_bf16_multiply_columns(const hearth_bf16_columns* columns);

/// Cuts a panel from an operand.
typedef struct {
  const hearth_operand* operand;
  size_t lane, lanes;    ///< first lane, and how many there are
  size_t start, depth;   ///< first element along the depth (even), and how many
  size_t width;          ///< lanes of the panel, 16 or 32
  uint16_t* out;         ///< [pairs, width] pairs, with room for a multiple of eight of them
} hearth_bf16_cut;

void hearth_bf16_fill(const hearth_bf16_cut* cut);

/// This thread's working memory, aligned to 64 bytes, kept until the thread ends; the next call may give other memory.
void* hearth_bf16_scratch(size_t bytes);

/// The rounding of a float to bf16: to nearest, ties to even; subnormals are zeros, NaNs quiet.
static inline uint16_t hearth_bf16_rounded(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u);
  if (magnitude < 0x00800000u) return (uint16_t)(bits >> 16 & 0x8000u);
  return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

/// Multiples of it, modulo 2^32, lie evenly (Knuth, The Art of Computer Programming 3, section 6.4): 2^32 by the golden ratio.
enum { HEARTH_BF16_DITHER = (int)0x9E3779B1u };

/// The dithered rounding of the element that is number `index` of its matrix: up as often as it is near the number above.
static inline uint16_t hearth_bf16_dithered(float value, uint32_t index) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude >= 0x7f800000u || magnitude < 0x00800000u) return hearth_bf16_rounded(value);
  return (uint16_t)((bits + (index * (uint32_t)HEARTH_BF16_DITHER >> 16)) >> 16);
}

#endif
