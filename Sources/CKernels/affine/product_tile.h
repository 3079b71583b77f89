// The body of panels times tiles of tokens in registers of 256 bits, for instruction sets that differ in how they take exact dots;
// included once for each, after `TARGET` and `take_dots`.
//
// Lanes are rows, eight of a panel's sixteen at a time. A block is unpacked in registers, and every four columns of it meet
// the tile's tokens with their activations broadcast: as many tokens as there are registers for their sums, so that
// unpacking is shared. The tile's activations are gathered once for several panels, four columns of all tokens side by
// side, so that they are read from one pointer and stay in the first-level cache.

/// Scales or minimums of eight rows.
INLINE __m256 load_factors(const uint8_t* factors, size_t index, bool half_precision) {
  return half_precision ? _mm256_cvtph_ps(_mm_load_si128((const void*)(factors + 2 * index)))
                        : _mm256_load_ps((const float*)(const void*)(factors + 4 * index));
}

/// Half of the panel's rows, `v`, in one block: totals[v, t] go on.
INLINE void multiply_block(const int kind, const int parts, const int terms, const int tokens,
                           const uint8_t* block, const bool half_precision, const int32_t* tile,
                           const int v, float* totals) {
  const int bits = kind == FOUR_BITS ? 4 : 8;
  const uint8_t* factors = block + 64 * bits;
  const float* scales = (const float*)(const void*)(tile + tokens * fours_of(kind, terms));
  UNROLLED for (int part = 0; part < parts; part++) {
    __m256i dot[TILE_TOKENS];
    take_dots(kind, parts, part, tokens, block + 32 * v, tile, dot);
    if (terms == 2 && fours_of(kind, 2) != fours_of(kind, 1)) {
      __m256i second[TILE_TOKENS];
      UNROLLED for (int t = 0; t < tokens; t++) dot[t] = _mm256_slli_epi32(dot[t], HEARTH_TERM_BITS);
      take_dots(kind, parts, part, tokens, block + 32 * v, tile + 8 * tokens, second);
      UNROLLED for (int t = 0; t < tokens; t++) dot[t] = _mm256_add_epi32(dot[t], second[t]);
    }
    __m256 scale = load_factors(factors, (size_t)(16 * part + 8 * v), half_precision);
    __m256 minimum = load_factors(factors, (size_t)(16 * (parts + part) + 8 * v), half_precision);
    UNROLLED for (int t = 0; t < tokens; t++) {
      float* total = totals + (tokens * v + t) * 8;
      __m256 sum = _mm256_set1_ps(scales[tokens * (1 + part) + t]);
      __m256 product = _mm256_fmadd_ps(_mm256_mul_ps(scale, _mm256_set1_ps(scales[t])),
                                       _mm256_cvtepi32_ps(dot[t]), _mm256_load_ps(total));
      _mm256_store_ps(total, _mm256_fmadd_ps(minimum, sum, product));
    }
  }
}

/// `count` blocks of a panel with a tile's activations: totals [2, tokens, 8] go on.
INLINE void multiply_tile(const int kind, const int parts, const int terms, const int tokens,
                          const hearth_affine* matrix, const uint8_t* block, size_t count,
                          const int32_t* tile, float* totals) {
  const size_t block_bytes = matrix->block_bytes;
  const bool half_precision = matrix->half_precision;
  for (size_t b = 0; b < count; b++, block += block_bytes) {
    for (int line = 0; line < (kind == FOUR_BITS ? 4 : 8) + parts; line++)
      _mm_prefetch((const char*)block + PREFETCH_BYTES + 64 * line, _MM_HINT_T0);
    if (tokens <= FEW_TOKENS) {
      UNROLLED for (int v = 0; v < 2; v++)
        multiply_block(kind, parts, terms, tokens, block, half_precision, tile, v, totals);
    } else {
      IN_TURN for (int v = 0; v < 2; v++)
        multiply_block(kind, parts, terms, tokens, block, half_precision, tile, v, totals);
    }
    tile += tokens * (fours_of(kind, terms) + 1 + parts);
  }
}

/// Gathers `count` blocks of `tokens` tokens: the fours of all tokens side by side, then their scales and their sums.
INLINE void gather_tile(const int kind, const int parts, const int terms, const int tokens, int32_t* tile,
                        const hearth_activation_block* a, size_t stride, size_t blocks, size_t count) {
  for (size_t b = 0; b < count; b++, a++) {
    UNROLLED for (int t = 0; t < tokens; t++) {
      const hearth_activation_block* first = a + (size_t)t * stride;
      const hearth_activation_block* last = first + (size_t)(terms - 1) * blocks;
      gather_fours(kind, terms, tokens, tile + t, first->q, last->q);
      float* scales = (float*)(void*)(tile + tokens * fours_of(kind, terms)) + t;
      scales[0] = last->scale;
      UNROLLED for (int part = 0; part < parts; part++)
        scales[tokens * (1 + part)] = parts == 1 ? last->sum : last->half_sum[part];
    }
    tile += tokens * (fours_of(kind, terms) + 1 + parts);
  }
}

/// The kernels of a kind, parts and terms for a number of tokens.
typedef struct {
  void (*gather)(int32_t* tile, const hearth_activation_block* a, size_t stride, size_t blocks, size_t count);
  void (*multiply)(const hearth_affine* matrix, const uint8_t* block, size_t count, const int32_t* tile,
                   float* totals);
  size_t tokens, block_fours;  ///< block_fours: what a block takes in a tile
} tile_kernel;

#define KERNEL(KIND, PARTS, TERMS, TOKENS)                                                           \
  TARGET static void gather_##KIND##_##PARTS##_##TERMS##_##TOKENS(                                   \
      int32_t* tile, const hearth_activation_block* a, size_t stride, size_t blocks, size_t count) { \
    gather_tile(KIND, PARTS, TERMS, TOKENS, tile, a, stride, blocks, count);                         \
  }                                                                                                  \
  TARGET static void multiply_##KIND##_##PARTS##_##TERMS##_##TOKENS(                                 \
      const hearth_affine* matrix, const uint8_t* block, size_t count, const int32_t* tile,          \
      float* totals) {                                                                               \
    multiply_tile(KIND, PARTS, TERMS, TOKENS, matrix, block, count, tile, totals);                   \
  }
#define KERNELS(KIND, PARTS, TERMS)                           \
  KERNEL(KIND, PARTS, TERMS, 1) KERNEL(KIND, PARTS, TERMS, 2) \
  KERNEL(KIND, PARTS, TERMS, 3) KERNEL(KIND, PARTS, TERMS, 4) \
  KERNEL(KIND, PARTS, TERMS, 6) KERNEL(KIND, PARTS, TERMS, 8)
#define NAME(KIND, PARTS, TERMS, TOKENS)                                                                  \
  {gather_##KIND##_##PARTS##_##TERMS##_##TOKENS, multiply_##KIND##_##PARTS##_##TERMS##_##TOKENS, TOKENS, \
   TOKENS * (fours_of(KIND, TERMS) + 1 + PARTS)}
#define NAMES(KIND, PARTS, TERMS)                                 \
  {NAME(KIND, PARTS, TERMS, 1), NAME(KIND, PARTS, TERMS, 2),     \
   NAME(KIND, PARTS, TERMS, 3), NAME(KIND, PARTS, TERMS, 4),     \
   NAME(KIND, PARTS, TERMS, 6), NAME(KIND, PARTS, TERMS, 8)}

enum {
  TILE_SIZES = 6,
  GROUP_PANELS = 16,   ///< most panels whose totals are held at once
  TILE_FOURS = 6 << 10 ///< room for the activations of a tile, in fours of bytes
};

/// Rows of a panel that there are.
static inline size_t rows_of(const hearth_affine* matrix, size_t panel) {
  size_t left = matrix->rows - panel * HEARTH_PANEL_ROWS;
  return left < HEARTH_PANEL_ROWS ? left : HEARTH_PANEL_ROWS;
}

/// Writes totals [2, tokens, 8] of a panel to y from token `t` on.
TARGET static inline void write_totals(const hearth_panel_product* p, size_t panel, size_t t, size_t tokens,
                                       const float* totals) {
  size_t rows = rows_of(p->matrix, panel), top = panel * HEARTH_PANEL_ROWS;
  for (size_t i = 0; i < tokens; i++) {
    float* y = p->y + (t + i) * p->ldy + top;
    const float *low = totals + i * 8, *high = totals + (tokens + i) * 8;
    if (rows == HEARTH_PANEL_ROWS) {
      _mm256_storeu_ps(y, _mm256_load_ps(low));
      _mm256_storeu_ps(y + 8, _mm256_load_ps(high));
    } else {
      memcpy(y, low, (rows < 8 ? rows : 8) * sizeof *y);
      if (rows > 8) memcpy(y + 8, high, (rows - 8) * sizeof *y);
    }
  }
}

/// A tile of tokens from `t` on times all panels of a product.
TARGET static void multiply_tile_of_panels(const tile_kernel* kernel, const hearth_panel_product* p, size_t t) {
  const hearth_affine* matrix = p->matrix;
  _Alignas(64) int32_t tile[TILE_FOURS];
  _Alignas(64) float totals[GROUP_PANELS][2 * TILE_TOKENS * 8];
  const size_t room = TILE_FOURS / kernel->block_fours, blocks = matrix->blocks;
  const hearth_activation_block* a = p->activations + t * p->stride;
  for (size_t group = 0; group < p->panels; group += GROUP_PANELS) {
    size_t panels = p->panels - group < GROUP_PANELS ? p->panels - group : GROUP_PANELS;
    for (size_t i = 0; i < panels; i++) memset(totals[i], 0, 2 * kernel->tokens * 8 * sizeof(float));
    for (size_t b = 0; b < blocks; b += room) {
      size_t count = blocks - b < room ? blocks - b : room;
      // When all blocks have room they are gathered for the first group only.
      if (group == 0 || count < blocks) kernel->gather(tile, a + b, p->stride, blocks, count);
      for (size_t i = 0; i < panels; i++)
        kernel->multiply(matrix,
                         hearth_affine_panel(matrix, p->panel + group + i) + b * matrix->block_bytes,
                         count, tile, totals[i]);
    }
    for (size_t i = 0; i < panels; i++)
      write_totals(p, p->panel + group + i, t, kernel->tokens, totals[i]);
  }
}

/// All tokens of a product, by tiles as large as they come.
static inline void multiply_by_tiles(const tile_kernel kernels[TILE_SIZES], const hearth_panel_product* p) {
  size_t size = TILE_SIZES - 1;
  for (size_t t = p->first, end = p->first + p->tokens; t < end; t += kernels[size].tokens) {
    while (kernels[size].tokens > end - t) size--;
    multiply_tile_of_panels(&kernels[size], p, t);
  }
}
