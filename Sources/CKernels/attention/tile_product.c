#include "tile_product.h"

#include "../include/isa.h"
#include "../rows/lanes.h"

#define UNROLLED _Pragma("clang loop unroll(full)")

// AVX2 has sixteen registers of eight floats, NEON thirty-two of four, which hold as much; AVX-512 has thirty-two of sixteen.

#define WIDTH 8
#define BAND 6
#define VECTOR eight
#define LOAD load_eight
#define HALVES eight_halves
#define BYTES eight_bytes
#define LOAD_COLUMNS load_eight_columns
#define TILE tile_of_eights
#define ROW_BAND band_of_eights
#define MULTIPLY multiply_eights
#define MULTIPLY_ANY multiply_eights_of_any
#include "register_tile.h"
#undef WIDTH
#undef BAND
#undef VECTOR
#undef LOAD
#undef HALVES
#undef BYTES
#undef LOAD_COLUMNS
#undef TILE
#undef ROW_BAND
#undef MULTIPLY
#undef MULTIPLY_ANY

#define WIDTH 16
#define BAND 12
#define VECTOR sixteen
#define LOAD load_sixteen
#define HALVES sixteen_halves
#define BYTES sixteen_bytes
#define LOAD_COLUMNS load_sixteen_columns
#define TILE tile_of_sixteens
#define ROW_BAND band_of_sixteens
#define MULTIPLY multiply_sixteens
#define MULTIPLY_ANY multiply_sixteens_of_any
#include "register_tile.h"

HEARTH_INLINE void multiply_floats(void* context, int index, int count) {
  (void)index, (void)count;
  multiply_eights(HEARTH_TILE_FLOATS, context);
}
HEARTH_KERNEL_OF(multiply, multiply_floats, multiply_eights_of_any, multiply_sixteens_of_any)

#if defined(__x86_64__)
#include "few_rows_avx2.h"
#endif

void hearth_tile_multiply(const hearth_tile_product* product) {
#if defined(__x86_64__)
  if (product->rows <= FEW_ROWS && (product->halves != NULL || product->bytes != NULL) &&
      hearth_isa_current() < HEARTH_ISA_AVX512) {
    multiply_few_rows(product);
    return;
  }
#endif
  multiply((void*)product, 0, 1);
}

bool hearth_tile_reads_packed(size_t rows) {
#if defined(__x86_64__)
  return rows <= 6 && hearth_isa_current() >= HEARTH_ISA_AVX2;
#elif defined(__aarch64__)
  return rows <= 6 && hearth_isa_current() >= HEARTH_ISA_NEON;
#else
  (void)rows;
  return false;
#endif
}
