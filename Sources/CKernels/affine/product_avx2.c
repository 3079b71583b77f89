#if defined(__x86_64__)

#include <immintrin.h>

#include "affine_internal.h"

#define TARGET __attribute__((target("avx2,fma,f16c")))
#define INLINE TARGET __attribute__((always_inline)) static inline
#define UNROLLED _Pragma("clang loop unroll(full)")
/// Left alone the compiler unrolls, mixes the rounds and runs out of registers.
#define IN_TURN _Pragma("clang loop unroll(disable)")

enum {
  TILE_TOKENS = 8,        ///< most tokens whose sums are held at once
  FEW_TOKENS = 2,         ///< so few that all of a block can be under way together
  PREFETCH_BYTES = 640,  ///< ahead of the block in use; farther ahead reads a sixth fewer bytes a second
};

/// How dots stay exact. Products of bytes are added in pairs, in 16 bits.
enum {
  FOUR_BITS,  ///< levels up to 15: sixteen products of 15 * 127 fit 16 bits
  UP_TO_31,   ///< eight fit
  UP_TO_63,   ///< four fit
  WIDE,       ///< multiplied in 16 bits and added in 32; both terms of activations at once
};

/// Fours of bytes that a token's activations take in a tile, for one block.
#define fours_of(kind, terms) ((kind) == WIDE ? 16 : 8 * (terms))

/// Keeps the compiler from adding in another order, for which it would run out of registers.
#define IN_ORDER(x) __asm__("" : "+x"(x))

/// A token's activations of a block into a tile: as they are; or in 16 bits, columns 4g and 4g + 2 first, then 4g + 1 and 4g + 3.
INLINE void gather_fours(const int kind, const int terms, const int tokens, int32_t* tile,
                         const int8_t* first, const int8_t* last) {
  __m256i one = _mm256_loadu_si256((const void*)first), two = _mm256_loadu_si256((const void*)last);
  int32_t fours[16];
  if (kind == WIDE) {
    __m256i even = _mm256_slli_epi16(one, 8), odd = _mm256_and_si256(one, _mm256_set1_epi16((short)0xff00));
    if (terms == 1) {
      even = _mm256_srai_epi16(even, 8);
      odd = _mm256_srai_epi16(odd, 8);
    } else {
      even = _mm256_add_epi16(even, _mm256_srai_epi16(_mm256_slli_epi16(two, 8), 8));
      odd = _mm256_add_epi16(odd, _mm256_srai_epi16(two, 8));
    }
    _mm256_storeu_si256((void*)fours, even);
    _mm256_storeu_si256((void*)(fours + 8), odd);
  } else {
    _mm256_storeu_si256((void*)fours, one);
    if (terms == 2) _mm256_storeu_si256((void*)(fours + 8), two);
  }
  UNROLLED for (int g = 0; g < fours_of(kind, terms); g++) tile[tokens * g] = fours[g];
}

/// sum += four columns of eight rows times four activations.
INLINE void add_products(__m256i* sum, __m256i columns, const int32_t* four) {
  *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(columns, _mm256_set1_epi32(*four)));
  IN_ORDER(*sum);
}

/// A step of `dots_of_four_bits`: columns 4g... and 16 + 4g....
INLINE void add_four_bits(const int parts, const int part, const int tokens, const uint8_t* rows,
                          const int32_t* tile, __m256i* dot) {
  const __m256i nibble = _mm256_set1_epi8(15);
  __m256i bytes = _mm256_load_si256((const void*)rows);
  __m256i low = _mm256_and_si256(bytes, nibble);
  __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
  UNROLLED for (int t = 0; t < tokens; t++) {
    if (parts == 1 || part == 0) add_products(&dot[t], low, tile + t);
    if (parts == 1 || part == 1) add_products(&dot[t], high, tile + 4 * tokens + t);
  }
}

INLINE void dots_of_four_bits(const int parts, const int part, const int tokens, const uint8_t* rows,
                              const int32_t* tile, __m256i* dot) {
  if (tokens <= FEW_TOKENS) {
    UNROLLED for (int g = 0; g < 4; g++)
      add_four_bits(parts, part, tokens, rows + 64 * g, tile + tokens * g, dot);
  } else {
    IN_TURN for (int g = 0; g < 4; g++)
      add_four_bits(parts, part, tokens, rows + 64 * g, tile + tokens * g, dot);
  }
  UNROLLED for (int t = 0; t < tokens; t++) dot[t] = _mm256_madd_epi16(dot[t], _mm256_set1_epi16(1));
}

/// Fours of columns of which 2 * `group` products fit 16 bits.
INLINE void add_group(const int group, const int tokens, const uint8_t* rows, const int32_t* tile,
                      __m256i* dot) {
  __m256i columns[4];
  UNROLLED for (int g = 0; g < group; g++) columns[g] = _mm256_load_si256((const void*)(rows + 64 * g));
  UNROLLED for (int t = 0; t < tokens; t++) {
    __m256i sum = _mm256_maddubs_epi16(columns[0], _mm256_set1_epi32(tile[t]));
    UNROLLED for (int g = 1; g < group; g++) add_products(&sum, columns[g], tile + tokens * g + t);
    dot[t] = _mm256_add_epi32(dot[t], _mm256_madd_epi16(sum, _mm256_set1_epi16(1)));
    IN_ORDER(dot[t]);
  }
}

/// Four columns in 16 bits: the even ones of all rows, then the odd ones.
INLINE void add_wide(const int tokens, const uint8_t* rows, const int32_t* even, const int32_t* odd,
                     __m256i* dot) {
  __m256i bytes = _mm256_load_si256((const void*)rows);
  __m256i low = _mm256_and_si256(bytes, _mm256_set1_epi16(255)), high = _mm256_srli_epi16(bytes, 8);
  UNROLLED for (int t = 0; t < tokens; t++) {
    dot[t] = _mm256_add_epi32(dot[t], _mm256_madd_epi16(low, _mm256_set1_epi32(even[t])));
    IN_ORDER(dot[t]);
    dot[t] = _mm256_add_epi32(dot[t], _mm256_madd_epi16(high, _mm256_set1_epi32(odd[t])));
    IN_ORDER(dot[t]);
  }
}

INLINE void add_eight_bits(const int kind, const int tokens, const uint8_t* rows, const int32_t* tile,
                           int g, __m256i* dot) {
  if (kind == WIDE)
    add_wide(tokens, rows + 64 * g, tile + tokens * g, tile + tokens * (8 + g), dot);
  else
    add_group(kind == UP_TO_31 ? 4 : 2, tokens, rows + 64 * g, tile + tokens * g, dot);
}

/// Exact dots of the columns of a part with `tokens` tokens, for eight rows.
INLINE void take_dots(const int kind, const int parts, const int part, const int tokens,
                      const uint8_t* rows, const int32_t* tile, __m256i* dot) {
  UNROLLED for (int t = 0; t < tokens; t++) dot[t] = _mm256_setzero_si256();
  const int from = 4 * part, to = parts == 1 ? 8 : from + 4;
  const int step = kind == UP_TO_31 ? 4 : kind == UP_TO_63 ? 2 : 1;
  if (kind == FOUR_BITS) {
    dots_of_four_bits(parts, part, tokens, rows, tile, dot);
  } else if (tokens <= FEW_TOKENS) {
    UNROLLED for (int g = from; g < to; g += step) add_eight_bits(kind, tokens, rows, tile, g, dot);
  } else {
    IN_TURN for (int g = from; g < to; g += step) add_eight_bits(kind, tokens, rows, tile, g, dot);
  }
}

#include "product_tile.h"

KERNELS(FOUR_BITS, 1, 1)
KERNELS(FOUR_BITS, 1, 2)
KERNELS(FOUR_BITS, 2, 1)
KERNELS(FOUR_BITS, 2, 2)
KERNELS(UP_TO_31, 1, 1)
KERNELS(UP_TO_63, 1, 1)
KERNELS(UP_TO_63, 2, 1)
KERNELS(WIDE, 1, 1)
KERNELS(WIDE, 1, 2)
KERNELS(WIDE, 2, 1)
KERNELS(WIDE, 2, 2)

/// By kind, parts and terms. Where a kind lacks one, that of more levels does as well.
static const tile_kernel kernels[4][2][2][TILE_SIZES] = {
    {{NAMES(FOUR_BITS, 1, 1), NAMES(FOUR_BITS, 1, 2)}, {NAMES(FOUR_BITS, 2, 1), NAMES(FOUR_BITS, 2, 2)}},
    {{NAMES(UP_TO_31, 1, 1), NAMES(WIDE, 1, 2)}, {NAMES(UP_TO_63, 2, 1), NAMES(WIDE, 2, 2)}},
    {{NAMES(UP_TO_63, 1, 1), NAMES(WIDE, 1, 2)}, {NAMES(UP_TO_63, 2, 1), NAMES(WIDE, 2, 2)}},
    {{NAMES(WIDE, 1, 1), NAMES(WIDE, 1, 2)}, {NAMES(WIDE, 2, 1), NAMES(WIDE, 2, 2)}}};

void hearth_panel_product_avx2(const hearth_panel_product* p) {
  const hearth_affine* matrix = p->matrix;
  int kind = matrix->bits == 4       ? FOUR_BITS
             : matrix->levels <= 31 ? UP_TO_31
             : matrix->levels <= 63 ? UP_TO_63
                                    : WIDE;
  multiply_by_tiles(kernels[kind][matrix->parts - 1][matrix->terms - 1], p);
}

#endif
