#ifndef HEARTH_BF16_TILES_H
#define HEARTH_BF16_TILES_H

/// Calls `multiply(rows, vectors, tile, first)`, both constants, for all rows of a tile of `lanes` 16 or 32, in groups of at most fourteen
/// and of nearly equal height, so that none is low.
#define HEARTH_IN_TILES(multiply, tile)                                                        \
  do {                                                                                         \
    const size_t groups = ((tile)->rows + 13) / 14;                                            \
    for (size_t g = 0; g < groups; g++) {                                                      \
      const size_t first = (tile)->rows * g / groups, rows = (tile)->rows * (g + 1) / groups - first; \
      switch (rows * 2 + ((tile)->lanes == 32)) {                                              \
        HEARTH_TILE(1, multiply, tile) HEARTH_TILE(2, multiply, tile) HEARTH_TILE(3, multiply, tile) \
        HEARTH_TILE(4, multiply, tile) HEARTH_TILE(5, multiply, tile) HEARTH_TILE(6, multiply, tile) \
        HEARTH_TILE(7, multiply, tile) HEARTH_TILE(8, multiply, tile) HEARTH_TILE(9, multiply, tile) \
        HEARTH_TILE(10, multiply, tile) HEARTH_TILE(11, multiply, tile) HEARTH_TILE(12, multiply, tile) \
        HEARTH_TILE(13, multiply, tile) HEARTH_TILE(14, multiply, tile)                        \
      }                                                                                        \
    }                                                                                          \
  } while (0)
#define HEARTH_TILE(ROWS, multiply, tile)                   \
  case ROWS * 2: multiply(ROWS, 1, tile, first); break;     \
  case ROWS * 2 + 1: multiply(ROWS, 2, tile, first); break;

#endif
