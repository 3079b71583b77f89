#include <math.h>
#include <string.h>

#include "../affine/affine_internal.h"
#include "../include/isa.h"
#include "bf16_internal.h"
#include "panels_avx512.h"

// Panels cut from operands: quantised blocks are unpacked and floats rounded here, a panel at a time, so that no matrix is ever
// held in bf16. A panel serves some hundred rows, beside whose product cutting it costs little.

static inline uint16_t affine_element(const hearth_affine* matrix, size_t row, size_t column) {
  size_t panel = row / HEARTH_PANEL_ROWS, r = row % HEARTH_PANEL_ROWS, i = column % HEARTH_BLOCK_COLUMNS;
  const uint8_t* block =
      hearth_affine_panel(matrix, panel) + column / HEARTH_BLOCK_COLUMNS * matrix->block_bytes;
  size_t high = matrix->bits == 4 ? i / 16 : 0, group = (matrix->bits == 4 ? i % 16 : i) / 4;
  uint8_t byte = block[64 * group + 4 * r + i % 4];
  uint8_t q = matrix->bits == 8 ? byte : high ? byte >> 4 : byte & 15;
  size_t part = i / (HEARTH_BLOCK_COLUMNS / matrix->parts);
  return hearth_bf16_rounded(fmaf(hearth_affine_factor(matrix, block, 0, part, r), (float)q,
                                  hearth_affine_factor(matrix, block, 1, part, r)));
}

static uint16_t element(const hearth_operand* of, size_t lane, size_t k) {
  size_t row = of->transposed ? k : lane, column = of->transposed ? lane : k;
  switch (of->kind) {
    case HEARTH_OPERAND_F32: return hearth_bf16_rounded(((const float*)of->data)[row * of->ld + column]);
    case HEARTH_OPERAND_F32_DITHERED: {
      const size_t at = row * of->ld + column;
      return hearth_bf16_dithered(((const float*)of->data)[at], (uint32_t)at);
    }
    case HEARTH_OPERAND_AFFINE: return affine_element(of->data, row, column);
    default: break;
  }
  uint16_t half;
  // A file's rows may lie at any address.
  memcpy(&half, (const uint8_t*)of->data + 2 * (row * of->ld + column), sizeof half);
  return half;
}

/// The plain twin.
static void fill_scalar(const hearth_bf16_cut* c) {
  for (size_t k = 0; k < c->depth + c->depth % 2; k++)
    for (size_t i = 0; i < c->width; i++)
      c->out[(k / 2 * c->width + i) * 2 + k % 2] =
          i < c->lanes && k < c->depth ? element(c->operand, c->lane + i, c->start + k) : 0;
}

void hearth_bf16_fill(const hearth_bf16_cut* cut) {
#if defined(__x86_64__)
  if (hearth_isa_current() >= HEARTH_ISA_AVX512BF16) {
    fill_avx512(cut);
    return;
  }
#endif
  fill_scalar(cut);
}
