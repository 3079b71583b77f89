#if defined(__x86_64__)

#include <immintrin.h>

#include "affine_internal.h"

// For processors with VNNI's integer dot products in registers of 256 bits, and no AVX-512.

// A build with HEARTH_EMULATED_AVXVNNI computes the instruction's definition in AVX2, for checks on processors that lack it.
#if defined(HEARTH_EMULATED_AVXVNNI)
#define TARGET __attribute__((target("avx2,fma,f16c")))
#else
#define TARGET __attribute__((target("avxvnni,avx2,fma,f16c")))
#endif
#define INLINE TARGET __attribute__((always_inline)) static inline
#define UNROLLED _Pragma("clang loop unroll(full)")
/// Left alone the compiler unrolls, mixes the rounds and runs out of registers.
#define IN_TURN _Pragma("clang loop unroll(disable)")

enum {
  TILE_TOKENS = 8,       ///< most tokens whose sums are held at once
  FEW_TOKENS = 2,        ///< so few that all of a block can be under way together
  PREFETCH_BYTES = 640,  ///< ahead of the block in use
};

enum { FOUR_BITS, EIGHT_BITS };

/// Fours of bytes that a token's activations take in a tile, for one block.
#define fours_of(kind, terms) (8 * (terms))

INLINE void gather_fours(const int kind, const int terms, const int tokens, int32_t* tile,
                         const int8_t* first, const int8_t* last) {
  (void)kind;
  int32_t fours[16];
  memcpy(fours, first, HEARTH_BLOCK_COLUMNS);
  memcpy(fours + 8, last, HEARTH_BLOCK_COLUMNS);
  UNROLLED for (int g = 0; g < 8 * terms; g++) tile[tokens * g] = fours[g];
}

/// Adds to each 32-bit lane the products of its four unsigned and four signed bytes.
INLINE __m256i add_dots(__m256i sum, __m256i columns, __m256i activations) {
#if defined(HEARTH_EMULATED_AVXVNNI)
  const __m256i low = _mm256_set1_epi16(255);
  __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(activations, 8), 8);
  __m256i odd = _mm256_srai_epi16(activations, 8);
  sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_and_si256(columns, low), even));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_srli_epi16(columns, 8), odd));
#else
  return _mm256_dpbusd_avx_epi32(sum, columns, activations);
#endif
}

/// dot += four columns of eight rows times four activations, in the order in which it is written.
INLINE void add_products(__m256i* dot, __m256i columns, const int32_t* four) {
  *dot = add_dots(*dot, columns, _mm256_set1_epi32(*four));
  __asm__("" : "+x"(*dot));
}

INLINE void add_fours(const int kind, const int parts, const int part, const int tokens,
                      const uint8_t* rows, const int32_t* tile, __m256i* dot) {
  const __m256i nibble = _mm256_set1_epi8(15);
  __m256i bytes = _mm256_load_si256((const void*)rows);
  __m256i low = _mm256_and_si256(bytes, nibble);
  __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
  UNROLLED for (int t = 0; t < tokens; t++) {
    if (kind == EIGHT_BITS) {
      add_products(&dot[t], bytes, tile + t);
    } else {
      if (parts == 1 || part == 0) add_products(&dot[t], low, tile + t);
      if (parts == 1 || part == 1) add_products(&dot[t], high, tile + 4 * tokens + t);
    }
  }
}

/// Exact dots of the columns of a part with `tokens` tokens, for eight rows.
INLINE void take_dots(const int kind, const int parts, const int part, const int tokens,
                      const uint8_t* rows, const int32_t* tile, __m256i* dot) {
  UNROLLED for (int t = 0; t < tokens; t++) dot[t] = _mm256_setzero_si256();
  const int from = kind == EIGHT_BITS ? 4 * part : 0;
  const int to = kind == EIGHT_BITS && parts == 1 ? 8 : from + 4;
  if (tokens <= FEW_TOKENS) {
    UNROLLED for (int g = from; g < to; g++)
      add_fours(kind, parts, part, tokens, rows + 64 * g, tile + tokens * g, dot);
  } else {
    IN_TURN for (int g = from; g < to; g++)
      add_fours(kind, parts, part, tokens, rows + 64 * g, tile + tokens * g, dot);
  }
}

#include "product_tile.h"

KERNELS(FOUR_BITS, 1, 1)
KERNELS(FOUR_BITS, 1, 2)
KERNELS(FOUR_BITS, 2, 1)
KERNELS(FOUR_BITS, 2, 2)
KERNELS(EIGHT_BITS, 1, 1)
KERNELS(EIGHT_BITS, 1, 2)
KERNELS(EIGHT_BITS, 2, 1)
KERNELS(EIGHT_BITS, 2, 2)

/// By kind, parts and terms.
static const tile_kernel kernels[2][2][2][TILE_SIZES] = {
    {{NAMES(FOUR_BITS, 1, 1), NAMES(FOUR_BITS, 1, 2)}, {NAMES(FOUR_BITS, 2, 1), NAMES(FOUR_BITS, 2, 2)}},
    {{NAMES(EIGHT_BITS, 1, 1), NAMES(EIGHT_BITS, 1, 2)}, {NAMES(EIGHT_BITS, 2, 1), NAMES(EIGHT_BITS, 2, 2)}}};

void hearth_panel_product_avxvnni(const hearth_panel_product* p) {
  const hearth_affine* matrix = p->matrix;
  multiply_by_tiles(kernels[matrix->bits == 8][matrix->parts - 1][matrix->terms - 1], p);
}

#endif
