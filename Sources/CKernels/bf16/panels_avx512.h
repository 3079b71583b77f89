#ifndef HEARTH_BF16_PANELS_AVX512_H
#define HEARTH_BF16_PANELS_AVX512_H

#if defined(__x86_64__)

#include <immintrin.h>

#include "../affine/affine_internal.h"
#include "bf16_internal.h"

// Cutting panels with AVX-512 and its rounding to bf16, to the bit what the plain twin cuts.

#define TARGET                                                                                         \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"), min_vector_width(512)))
#define INLINE TARGET __attribute__((always_inline)) static inline

/// Two by sixteen floats, rounded: `low` in the lower half.
INLINE __m512i rounded(__m512 high, __m512 low) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

/// Sixteen floats, the first of which is number `at` of its matrix, rounded with dither, in the upper halves; the lower ones are of
/// no use.
INLINE __m512i dithered(__m512 x, size_t at) {
  enum { NAN_INFINITE_OR_SUBNORMAL = 0x01 | 0x80 | 0x08 | 0x10 | 0x20 };
#define MULTIPLE(I) ((int)((uint32_t)(I) * (uint32_t)HEARTH_BF16_DITHER))
  const __m512i multiples = _mm512_setr_epi32(
      0, MULTIPLE(1), MULTIPLE(2), MULTIPLE(3), MULTIPLE(4), MULTIPLE(5), MULTIPLE(6), MULTIPLE(7), MULTIPLE(8), MULTIPLE(9),
      MULTIPLE(10), MULTIPLE(11), MULTIPLE(12), MULTIPLE(13), MULTIPLE(14), MULTIPLE(15));
  const __m512i noise = _mm512_srli_epi32(_mm512_add_epi32(_mm512_set1_epi32(MULTIPLE(at)), multiples), 16);
#undef MULTIPLE
  const __m512i bits = _mm512_castps_si512(x);
  __m512i y = _mm512_add_epi32(bits, noise);
  // Weights hardly ever are any of these, and zeros come out right.
  if (__builtin_expect(_mm512_fpclass_ps_mask(x, NAN_INFINITE_OR_SUBNORMAL) == 0, true)) return y;
  const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff));
  const __m512i infinity = _mm512_set1_epi32(0x7f800000);
  y = _mm512_mask_and_epi32(y, _mm512_cmplt_epi32_mask(magnitude, _mm512_set1_epi32(0x00800000)), bits,
                            _mm512_set1_epi32((int)0x80000000u));
  y = _mm512_mask_mov_epi32(y, _mm512_cmpge_epi32_mask(magnitude, infinity), bits);
  return _mm512_mask_or_epi32(y, _mm512_cmpgt_epi32_mask(magnitude, infinity), bits, _mm512_set1_epi32(0x00400000));
}

/// Two by sixteen floats of a matrix, numbers `at` ... and `at` + `ld` ..., in bf16: the first in the lower half.
INLINE __m512i floats_of(const hearth_bf16_cut* c, const hearth_operand_kind kind, size_t at, __mmask16 low, __mmask16 high) {
  const float* data = c->operand->data;
  const size_t ld = c->operand->ld;
  const __m512 first = _mm512_maskz_loadu_ps(low, data + at), second = _mm512_maskz_loadu_ps(high, data + at + ld);
  if (kind == HEARTH_OPERAND_F32) return rounded(second, first);
  const __m512i uppers = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27, 25, 23, 21,
                                          19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  return _mm512_permutex2var_epi16(dithered(first, at), uppers, dithered(second, at + ld));
}

/// Sixteen numbers of two rows, side by side, become sixteen pairs.
INLINE __m512i paired(__m512i both) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22,
                                         6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, both);
}

/// Eight registers, of two rows of eight pairs each, become eight of sixteen lanes, one for each pair.
///
/// A pair's number has three bits in the lane; three rounds exchange them with those of the register.
INLINE void turn(__m512i x[8]) {
  __m512i y[8];
  const __m512i a0 = _mm512_set_epi32(30, 14, 28, 12, 26, 10, 24, 8, 22, 6, 20, 4, 18, 2, 16, 0);
  const __m512i a1 = _mm512_or_si512(a0, _mm512_set1_epi32(1));
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i += 2) {
    y[i] = _mm512_permutex2var_epi32(x[i], a0, x[i + 1]);
    y[i + 1] = _mm512_permutex2var_epi32(x[i], a1, x[i + 1]);
  }
  // Lane (c0, p2, c2, c1) comes from lane (c0, p2, k, c1).
  const __m512i b0 = _mm512_set_epi32(29, 28, 13, 12, 25, 24, 9, 8, 21, 20, 5, 4, 17, 16, 1, 0);
  const __m512i b1 = _mm512_or_si512(b0, _mm512_set1_epi32(2));
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i += 4)
#pragma clang loop unroll(full)
    for (int j = 0; j < 2; j++) {
      x[i + j] = _mm512_permutex2var_epi32(y[i + j], b0, y[i + j + 2]);
      x[i + j + 2] = _mm512_permutex2var_epi32(y[i + j], b1, y[i + j + 2]);
    }
  // Lane (c3, c2, c1, c0) comes from lane (c0, k, c2, c1) of register c3.
  const __m512i c0 = _mm512_set_epi32(27, 19, 26, 18, 25, 17, 24, 16, 11, 3, 10, 2, 9, 1, 8, 0);
  const __m512i c1 = _mm512_or_si512(c0, _mm512_set1_epi32(4));
#pragma clang loop unroll(full)
  for (int j = 0; j < 4; j++) {
    y[j] = _mm512_permutex2var_epi32(x[j], c0, x[j + 4]);
    y[j + 4] = _mm512_permutex2var_epi32(x[j], c1, x[j + 4]);
  }
#pragma clang loop unroll(full)
  for (int j = 0; j < 8; j++) x[j] = y[j];
}

/// Rows of floats or of bf16 numbers, lanes being rows.
INLINE void fill_rows(const hearth_bf16_cut* c, const hearth_operand_kind kind) {
  const size_t ld = c->operand->ld;
  for (size_t first = 0; first < c->width; first += 16)
    for (size_t k = 0; k < c->depth; k += 16) {
      const size_t left = c->depth - k;
      const __mmask16 mask = left < 16 ? (__mmask16)((1u << left) - 1) : 0xffff;
      __m512i x[8];
      for (size_t i = 0; i < 8; i++) {
        const size_t lane = first + 2 * i, at = (c->lane + lane) * ld + c->start + k;
        const __mmask16 low = lane < c->lanes ? mask : 0, high = lane + 1 < c->lanes ? mask : 0;
        if (kind != HEARTH_OPERAND_BF16) {
          // The next sixteen rows', which are this panel's or the next one's: sixteen streams of short rows are more than the
          // processor follows.
          __builtin_prefetch((const float*)c->operand->data + at + 16 * ld);
          __builtin_prefetch((const float*)c->operand->data + at + 17 * ld);
          x[i] = floats_of(c, kind, at, low, high);
        } else {
          const uint8_t* data = (const uint8_t*)c->operand->data + 2 * at;
          x[i] = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_maskz_loadu_epi16(low, data)),
                                    _mm256_maskz_loadu_epi16(high, data + 2 * ld), 1);
        }
      }
      turn(x);
      for (size_t i = 0; i < 8; i++)
        _mm512_storeu_si512(c->out + ((k / 2 + i) * c->width + first) * 2, x[i]);
    }
}

/// Likewise, lanes being columns.
INLINE void fill_columns(const hearth_bf16_cut* c, const hearth_operand_kind kind) {
  enum { AHEAD = 32 };  ///< rows
  const size_t ld = c->operand->ld;
  for (size_t k = 0; k < c->depth; k += 2)
    for (size_t first = 0; first < c->width; first += 16) {
      const size_t left = c->lanes > first ? c->lanes - first : 0, at = (c->start + k) * ld + c->lane + first;
      const __mmask16 low = left < 16 ? (__mmask16)((1u << left) - 1) : 0xffff, high = k + 1 < c->depth ? low : 0;
      __m512i pairs;
      // Rows lie far apart, and the processor does not see them coming.
      const size_t bytes = kind == HEARTH_OPERAND_BF16 ? sizeof(uint16_t) : sizeof(float);
      __builtin_prefetch((const uint8_t*)c->operand->data + bytes * (at + AHEAD * ld));
      __builtin_prefetch((const uint8_t*)c->operand->data + bytes * (at + (AHEAD + 1) * ld));
      if (kind == HEARTH_OPERAND_F32_DITHERED) {
        const float* data = (const float*)c->operand->data + at;
        const __m512i lower = dithered(_mm512_maskz_loadu_ps(low, data), at);
        const __m512i upper = dithered(_mm512_maskz_loadu_ps(high, data + ld), at + ld);
        pairs = _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(lower, 16), upper);
      } else if (kind == HEARTH_OPERAND_F32) {
        pairs = paired(floats_of(c, kind, at, low, high));
      } else {
        const uint8_t* data = (const uint8_t*)c->operand->data + 2 * at;
        pairs = paired(_mm512_inserti64x4(_mm512_castsi256_si512(_mm256_maskz_loadu_epi16(low, data)),
                                          _mm256_maskz_loadu_epi16(high, data + 2 * ld), 1));
      }
      _mm512_storeu_si512(c->out + (k / 2 * c->width + first) * 2, pairs);
    }
}

/// Sixteen scales or minimums of one part of a block.
INLINE __m512 factors(const hearth_affine* matrix, const uint8_t* block, size_t which, size_t part) {
  size_t index = (which * matrix->parts + part) * HEARTH_PANEL_ROWS;
  const uint8_t* at = block + hearth_affine_q_bytes(matrix);
  return matrix->half_precision ? _mm512_cvtph_ps(_mm256_loadu_si256((const void*)(at + 2 * index)))
                                : _mm512_loadu_ps(at + 4 * index);
}

/// The columns 16 · half ... of a block, in pairs of them: sixteen rows of the first, then of the second.
INLINE void unpack_half(const hearth_affine* matrix, const uint8_t* block, size_t half, const uint32_t bits,
                        __m512i x[8]) {
  const size_t part = matrix->parts == 2 ? half : 0;
  const __m512 scale = factors(matrix, block, 0, part), minimum = factors(matrix, block, 1, part);
  const __m512i mask = _mm512_set1_epi32(bits == 4 ? 15 : 255);
#pragma clang loop unroll(full)
  for (int g = 0; g < 4; g++) {
    __m512i fours = _mm512_loadu_si512(block + (bits == 4 ? 64 * g : 256 * half + 64 * g));
    if (bits == 4) fours = _mm512_srl_epi32(fours, _mm_cvtsi32_si128((int)half * 4));
    __m512 columns[4];
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; j++) {
      __m512i q = _mm512_and_si512(_mm512_srli_epi32(fours, 8 * j), mask);
      columns[j] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(q), minimum);
    }
    x[2 * g] = rounded(columns[1], columns[0]);
    x[2 * g + 1] = rounded(columns[3], columns[2]);
  }
}

/// A quantised matrix; lanes are rows of it, or columns.
INLINE void fill_affine(const hearth_bf16_cut* c, const uint32_t bits) {
  const hearth_affine* matrix = c->operand->data;
  const bool transposed = c->operand->transposed;
  __m512i x[8];
  if (!transposed) {
    const size_t ahead = HEARTH_BF16_LANES / HEARTH_PANEL_ROWS * matrix->blocks * matrix->block_bytes;
    for (size_t first = 0; first < c->width; first += 16) {
      size_t panel = (c->lane + first) / HEARTH_PANEL_ROWS;
      const bool exists = panel < matrix->panels;
      const uint8_t* block =
          exists ? hearth_affine_panel(matrix, panel) + c->start / HEARTH_BLOCK_COLUMNS * matrix->block_bytes : NULL;
      for (size_t k = 0; k < c->depth; k += HEARTH_BLOCK_COLUMNS, block += exists ? matrix->block_bytes : 0) {
        // The next lanes', which are wanted after some hundred rows have met these: by then they have come from memory.
        if (exists)
          for (size_t i = 0; i < matrix->block_bytes; i += 64) __builtin_prefetch(block + ahead + i, 0, 2);
        for (size_t half = 0; half < 2; half++) {
          uint16_t* out = c->out + ((k / 2 + 8 * half) * c->width + first) * 2;
          if (exists) unpack_half(matrix, block, half, bits, x);
          for (size_t i = 0; i < 8; i++)
            _mm512_storeu_si512(out + i * c->width * 2, exists ? paired(x[i]) : _mm512_setzero_si512());
        }
      }
    }
    return;
  }
  for (size_t k = 0; k < c->depth; k += HEARTH_PANEL_ROWS) {
    const uint8_t* block = hearth_affine_panel(matrix, (c->start + k) / HEARTH_PANEL_ROWS) +
                           c->lane / HEARTH_BLOCK_COLUMNS * matrix->block_bytes;
    // Blocks of a column lie far apart, and the processor does not see them coming.
    const uint8_t* ahead = block + 4 * matrix->blocks * matrix->block_bytes;
    for (size_t i = 0; i < matrix->block_bytes; i += 64) __builtin_prefetch(ahead + i);
    for (size_t half = 0; half < c->width / 16; half++) {
      unpack_half(matrix, block, half, bits, x);
      turn(x);
      for (size_t i = 0; i < 8; i++)
        _mm512_storeu_si512(c->out + ((k / 2 + i) * c->width + 16 * half) * 2, x[i]);
    }
  }
}

TARGET static void fill_avx512(const hearth_bf16_cut* c) {
  const hearth_operand* of = c->operand;
  if (of->kind == HEARTH_OPERAND_AFFINE) {
    const hearth_affine* matrix = of->data;
    if (matrix->bits == 4)
      fill_affine(c, 4);
    else
      fill_affine(c, 8);
  } else if (of->kind == HEARTH_OPERAND_F32) {
    if (of->transposed)
      fill_columns(c, HEARTH_OPERAND_F32);
    else
      fill_rows(c, HEARTH_OPERAND_F32);
  } else if (of->kind == HEARTH_OPERAND_F32_DITHERED) {
    if (of->transposed)
      fill_columns(c, HEARTH_OPERAND_F32_DITHERED);
    else
      fill_rows(c, HEARTH_OPERAND_F32_DITHERED);
  } else if (of->transposed) {
    fill_columns(c, HEARTH_OPERAND_BF16);
  } else {
    fill_rows(c, HEARTH_OPERAND_BF16);
  }
}

#undef TARGET
#undef INLINE
#endif
#endif
