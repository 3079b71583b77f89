#ifndef HEARTH_AFFINE_INTERNAL_H
#define HEARTH_AFFINE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../formats/half.h"
#include "../include/affine.h"
#include "../weights.h"

// The packed layout. A panel is 16 output rows; its blocks of 32 columns follow each other:
//
//     q         4 bits: byte 64g + 4r + j holds column 4g + j of row r in its low half,
//                       column 16 + 4g + j in its high half; g < 4
//               8 bits: byte 64g + 4r + j holds column 4g + j of row r; g < 8
//     scales    [parts, 16]
//     minimums  [parts, 16]
//
// `parts` is 1, or 2 when the columns 0...15 and 16...31 have scales of their own. Scales and minimums
// are f16 when that loses nothing in the whole matrix, f32 otherwise. Rows beyond the last are zero.

enum {
  HEARTH_PANEL_ROWS = 16,
  HEARTH_BLOCK_COLUMNS = 32,
  HEARTH_BATCH_TOKENS = 128,  ///< most tokens of one panel product
};

struct hearth_affine {
  size_t rows, columns;
  size_t panels, blocks;  ///< blocks: in a row
  uint32_t bits;          ///< 4 or 8
  uint32_t parts;         ///< 1 or 2
  uint32_t levels;        ///< no q is larger
  bool half_precision;    ///< scales and minimums are f16
  int terms;              ///< of the activations that products read
  size_t block_bytes;     ///< a multiple of 64
  uint8_t* data;          ///< [panels, blocks], 64-byte aligned
  hearth_weights memory;  ///< where `data` lies
};

static inline size_t hearth_affine_q_bytes(const hearth_affine* matrix) {
  return 64 * (size_t)matrix->bits;
}

static inline const uint8_t* hearth_affine_panel(const hearth_affine* matrix, size_t panel) {
  return matrix->data + panel * matrix->blocks * matrix->block_bytes;
}

/// Quantised columns of one block of one row of a panel, in order.
void hearth_affine_unpack_row(const hearth_affine* matrix, const uint8_t* block, size_t row,
                              uint8_t q[HEARTH_BLOCK_COLUMNS]);

/// All rows of one block of a panel, [16, 32], in rows `ldo` apart; those behind the last one of the matrix stand for nothing.
void hearth_affine_dequantize_block(const hearth_affine* matrix, size_t panel, size_t block, float* out, size_t ldo);

/// Scale (`which` 0) or minimum (`which` 1) of a row in one part of a block.
static inline float hearth_affine_factor(const hearth_affine* matrix, const uint8_t* block,
                                         size_t which, size_t part, size_t row) {
  size_t index = (which * matrix->parts + part) * HEARTH_PANEL_ROWS + row;
  const uint8_t* factors = block + hearth_affine_q_bytes(matrix);
  if (matrix->half_precision) {
    uint16_t half;
    memcpy(&half, factors + 2 * index, sizeof half);
    return hearth_f16_to_f32(half);
  }
  float value;
  memcpy(&value, factors + 4 * index, sizeof value);
  return value;
}

/// One token's activations in a block of 32 columns: x = scale * q.
///
/// Activations are [tokens, terms, blocks]. With two terms, the second term's block belongs to the sum of both, x = scale * (256 * q1 +
/// q2): its `q` is q2, its scale is the first one's / 256 and its sums are those of 256 * q1 + q2. As 256 is a power of two, and
/// dots of both are added as integers, that is 16-bit activations at the cost of two 8-bit dots.
typedef struct {
  int8_t q[HEARTH_BLOCK_COLUMNS];  ///< -127...127
  float scale;
  float sum;         ///< scale * (sum of q), for matrices of one part
  float half_sum[2]; ///< scale * (sum of q in columns 0...15 and 16...31), for matrices of two
} hearth_activation_block;

/// What the first term counts for when there are two: the logarithm of 256.
enum { HEARTH_TERM_BITS = 8 };

/// Quantises `count` times 32 numbers into as many blocks and, unless NULL, their second terms.
typedef void (*hearth_block_quantizer)(hearth_activation_block* blocks,
                                       hearth_activation_block* seconds, const float* x, size_t count);
/// The fastest this CPU has.
hearth_block_quantizer hearth_choose_block_quantizer(void);

/// y[t, r] for the rows of panels panel ..< panel + panels and tokens first ..< first + tokens; y is the whole output.
typedef struct {
  const hearth_affine* matrix;
  size_t panel, panels, first, tokens;
  const hearth_activation_block* activations;  ///< of token 0
  size_t stride;                               ///< blocks from one token to the next
  float* y;
  size_t ldy;
} hearth_panel_product;

/// The product, by the fastest kernel this CPU has.
void hearth_panel_products(hearth_panel_product product);

/// The plain twin, and the definition of the order of operations; one panel.
void hearth_panel_product_scalar(const hearth_panel_product* product);
/// By products of bytes in pairs.
void hearth_panel_product_avx2(const hearth_panel_product* product);
/// By the integer dot products of AVX-VNNI.
void hearth_panel_product_avxvnni(const hearth_panel_product* product);
/// By the integer dot products of AVX-512 VNNI; one panel.
void hearth_panel_product_avx512(const hearth_panel_product* product);
/// Those of AArch64: with what each has, by the dots of signed bytes, by those of mixed ones; one panel each.
void hearth_panel_product_neon(const hearth_panel_product* product);
void hearth_panel_product_dotprod(const hearth_panel_product* product);
void hearth_panel_product_i8mm(const hearth_panel_product* product);
/// By the matrix products of bytes, through unpacked blocks, for many tokens; one panel.
void hearth_panel_product_batch_i8mm(const hearth_panel_product* product);

#endif
