#include "tile_product.h"

#include "../rows/lanes.h"

#define UNROLLED _Pragma("clang loop unroll(full)")

// AVX2 has sixteen registers of eight floats, AVX-512 thirty-two of sixteen.

#define WIDTH 8
#define BAND 6
#define VECTOR eight
#define LOAD load_eight
#define TILE tile_of_eights
#define ROW_BAND band_of_eights
#define MULTIPLY multiply_eights
#include "register_tile.h"
#undef WIDTH
#undef BAND
#undef VECTOR
#undef LOAD
#undef TILE
#undef ROW_BAND
#undef MULTIPLY

#define WIDTH 16
#define BAND 12
#define VECTOR sixteen
#define LOAD load_sixteen
#define TILE tile_of_sixteens
#define ROW_BAND band_of_sixteens
#define MULTIPLY multiply_sixteens
#include "register_tile.h"

HEARTH_KERNEL_OF(multiply, multiply_eights, multiply_eights, multiply_sixteens)

void hearth_tile_multiply(const hearth_tile_product* product) { multiply((void*)product, 0, 1); }
