#include "include/gemm.h"

#include <math.h>
#include <string.h>

#include "gemm/gemm_internal.h"
#include "include/isa.h"

// C is cut into a grid of rectangles, one a thread. Each thread multiplies its rectangle alone, over all of k, so
// there is nothing to add up between threads and one barrier is enough.

void hearth_product_scalar(const hearth_product* p) {
  size_t a_row = p->transpose_a ? 1 : p->lda, a_step = p->transpose_a ? p->lda : 1;
  size_t b_column = p->transpose_b ? p->ldb : 1, b_step = p->transpose_b ? 1 : p->ldb;
  for (size_t i = 0; i < p->m; i++) {
    for (size_t j = 0; j < p->n; j++) {
      const float *a = p->a + i * a_row, *b = p->b + j * b_column;
      float sum = p->accumulate ? p->c[i * p->ldc + j] : 0;
      for (size_t l = 0; l < p->k; l++) sum = fmaf(a[l * a_step], b[l * b_step], sum);
      p->c[i * p->ldc + j] = sum;
    }
  }
}

/// How many rectangles lie below and beside each other.
typedef struct {
  size_t rows, columns;
} grid;

typedef struct {
  hearth_product product;
  grid grid;
} job;

static size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

/// The grid of at most `threads` rectangles whose largest is done soonest. A rectangle costs a cycle for each
/// vector pair of its fmas, and about one for each element of A and B that it must bring into order.
static grid choose_grid(const hearth_product* p, size_t threads) {
  size_t tiles = divide_up(p->m, HEARTH_TILE_ROWS), panels = divide_up(p->n, HEARTH_TILE_COLUMNS);
  grid best = {1, 1};
  double least = INFINITY;
  for (size_t rows = 1; rows <= threads && rows <= tiles; rows++) {
    size_t columns = threads / rows < panels ? threads / rows : panels;
    double height = (double)(divide_up(tiles, rows) * HEARTH_TILE_ROWS);
    double width = (double)(divide_up(panels, columns) * HEARTH_TILE_COLUMNS);
    double cost = height * width / HEARTH_TILE_COLUMNS + height + width;
    if (cost < least) {
      least = cost;
      best = (grid){rows, columns};
    }
  }
  return best;
}

/// Where share `index` of `count` begins when `extent` is cut at multiples of `unit`.
static size_t share(size_t extent, size_t unit, size_t index, size_t count) {
  size_t start = divide_up(extent, unit) * index / count * unit;
  return start < extent ? start : extent;
}

static void multiply_rectangle(void* context, int index, int count) {
  (void)count;
  const job* j = context;
  hearth_product p = j->product;
  size_t row = (size_t)index / j->grid.columns, column = (size_t)index % j->grid.columns;
  if (row >= j->grid.rows) return;
  size_t top = share(p.m, HEARTH_TILE_ROWS, row, j->grid.rows);
  size_t left = share(p.n, HEARTH_TILE_COLUMNS, column, j->grid.columns);
  p.m = share(p.m, HEARTH_TILE_ROWS, row + 1, j->grid.rows) - top;
  p.n = share(p.n, HEARTH_TILE_COLUMNS, column + 1, j->grid.columns) - left;
  p.a += p.transpose_a ? top : top * p.lda;
  p.b += p.transpose_b ? left * p.ldb : left;
  p.c += top * p.ldc + left;
  if (p.m == 0 || p.n == 0) return;
#if defined(__x86_64__)
  void* workspace = hearth_isa_current() >= HEARTH_ISA_AVX2 ? hearth_product_workspace() : NULL;
  if (workspace != NULL) {
    hearth_product_avx2(&p, workspace);
    return;
  }
#elif defined(__aarch64__)
  void* workspace = hearth_isa_current() >= HEARTH_ISA_NEON ? hearth_product_workspace() : NULL;
  if (workspace != NULL) {
    hearth_product_neon(&p, workspace);
    return;
  }
#endif
  hearth_product_scalar(&p);
}

void hearth_sgemm(hearth_pool* pool, bool transpose_a, bool transpose_b, size_t m, size_t n,
                  size_t k, const float* a, size_t lda, const float* b, size_t ldb, float* c,
                  size_t ldc, bool accumulate) {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    for (size_t i = 0; i < m && !accumulate; i++) memset(c + i * ldc, 0, n * sizeof *c);
    return;
  }
  job j = {.product = {.transpose_a = transpose_a,
                       .transpose_b = transpose_b,
                       .accumulate = accumulate,
                       .m = m,
                       .n = n,
                       .k = k,
                       .a = a,
                       .b = b,
                       .c = c,
                       .lda = lda,
                       .ldb = ldb,
                       .ldc = ldc}};
  // Below some microseconds of work, waking others takes longer than doing it.
  bool small = (double)m * (double)n * (double)k < 50000;
  j.grid = choose_grid(&j.product, small ? 1 : (size_t)hearth_pool_threads(pool));
  hearth_pool_run(j.grid.rows * j.grid.columns == 1 ? NULL : pool, multiply_rectangle, &j);
}
