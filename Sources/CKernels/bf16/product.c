#include <string.h>

#include "../int8/int8_internal.h"
#include "../pieces.h"
#include "bf16_internal.h"
#include "outputs.h"

// The work is a list of pieces, each one panel of one matrix and a chunk of the rows; threads take a few at a time as they become
// free. Which thread does a piece changes nothing in it. A chunk's rows stay in the second-level cache while panels pass by.

enum {
  PREFETCHED_ROWS = 56,
  NARROW_DEPTH = 128,  ///< most of a term that sums go on with from registers, as an adapter's rank is
  INT8_ROWS = 128,  ///< most rows of a piece with terms in 8 bits, whose panels need no cutting
  ROWS = 512,       ///< most rows of a piece whose panels are cut at little cost
  FEWEST_ROWS = 128,  ///< of a piece that is cut only so that all threads have some
  PIECES_PER_THREAD = 4,  ///< at least, so that a thread that is held up leaves its share to the others
};

/// What a thread works with: a panel, a narrow one, and the sums of a piece, twice for SwiGLU.
typedef struct {
  _Alignas(64) uint16_t panel[HEARTH_BF16_DEPTH * HEARTH_BF16_LANES];
  uint16_t narrow[NARROW_DEPTH * HEARTH_BF16_LANES];
  float sums[2][HEARTH_BF16_ROWS * HEARTH_BF16_LANES];
} workspace;

typedef struct {
  const hearth_bf16_matrix* matrices;
  size_t count, rows, panels, chunks;
  hearth_pieces pieces;
} job;

static size_t panels_of(const hearth_bf16_matrix* matrix) {
  return (matrix->lanes + HEARTH_BF16_LANES - 1) / HEARTH_BF16_LANES;
}

/// Asks for what `hearth_bf16_write` is going to read and write of some rows: it lies in columns, which the processor does not
/// see coming.
static void prefetch_rows(const hearth_bf16_matrix* m, size_t row, size_t rows, size_t lane) {
  const bool half = m->output != HEARTH_OUTPUT_F32 && m->output != HEARTH_OUTPUT_ADD_F32;
  if (m->output == HEARTH_OUTPUT_ADD_TRANSPOSED) return;
  // The gradients take the places of gate and up, or are all that lies in rows.
  const uint16_t *gate = m->dgate != NULL ? m->dgate : m->gate, *up = m->dup != NULL ? m->dup : m->up;
  for (size_t at = row * m->ldc + lane; rows > 0; rows--, at += m->ldc) {
    if (half) {
      __builtin_prefetch((uint16_t*)m->c + at, 1, 2);
      if (gate == NULL) continue;
      __builtin_prefetch(gate + at, 1, 2);
      __builtin_prefetch(up + at, 1, 2);
    } else {
      __builtin_prefetch((float*)m->c + at, 1, 2);
      __builtin_prefetch((float*)m->c + at + 16, 1, 2);
      if (m->residual == NULL || m->residual == m->c) continue;
      __builtin_prefetch(m->residual + at, 0, 2);
      __builtin_prefetch(m->residual + at + 16, 0, 2);
    }
  }
}

/// A term in 8 bits goes on with the sums.
static void add_int8(const hearth_bf16_matrix* matrix, const hearth_bf16_term* term, size_t first_row, size_t rows,
                     size_t lane, size_t width, bool begins, float* sums) {
  const size_t depth = term->int8->depth, stride = hearth_int8_row_bytes(depth);
  const uint8_t* panel = hearth_int8_panel(term->int8, lane);
  for (size_t row = 0; row < rows; row += PREFETCHED_ROWS) {
    const size_t height = rows - row < PREFETCHED_ROWS ? rows - row : PREFETCHED_ROWS;
    const uint8_t* quantized = (const uint8_t*)term->quantized + (first_row + row) * stride;
    const hearth_int8_factor* factors = (const void*)(quantized + hearth_int8_factor_offset(depth));
    if (begins) prefetch_rows(matrix, first_row + row, height, lane);
    for (size_t block = 0; block < term->int8->blocks; block++)
      hearth_int8_multiply(&(hearth_int8_tile){.block = panel + hearth_int8_block_offset(width, block),
                                               .lanes = width,
                                               .groups = hearth_int8_groups(depth, block),
                                               .q = (const int8_t*)quantized + block * HEARTH_INT8_BLOCK,
                                               .factor = factors + block,
                                               .stride = stride,
                                               .rows = height,
                                               .sums = sums + row * width,
                                               .begins = begins && block == 0});
  }
}

/// Cuts `depth` numbers of a term from `start` on.
static void cut(const hearth_bf16_term* term, size_t start, size_t depth, size_t lane, size_t lanes, size_t width,
                uint16_t* panel) {
  hearth_bf16_fill(&(hearth_bf16_cut){.operand = &term->b,
                                      .lane = lane,
                                      .lanes = lanes,
                                      .start = start,
                                      .depth = depth,
                                      .width = width,
                                      .out = panel});
}

/// A term of few rows goes on with the sums without a panel; false where it needs one.
static bool add_columns(const hearth_bf16_matrix* matrix, const hearth_bf16_term* term, size_t first_row, size_t rows,
                        size_t lane, size_t lanes, bool begins, float* sums) {
  if (rows > HEARTH_BF16_FEW_ROWS || term->b.kind != HEARTH_OPERAND_BF16 || !term->b.transposed) return false;
  if (begins) prefetch_rows(matrix, first_row, rows, lane);
  return hearth_bf16_multiply_columns(&(hearth_bf16_columns){.a = term->a + first_row * term->lda,
                                                             .lda = term->lda,
                                                             .rows = rows,
                                                             .b = (const uint16_t*)term->b.data + lane,
                                                             .ldb = term->b.ld,
                                                             .depth = term->depth,
                                                             .lanes = lanes,
                                                             .sums = sums,
                                                             .begins = begins});
}

/// The sums of one panel over all terms.
static void add_terms(const hearth_bf16_matrix* matrix, const hearth_bf16_term* terms, size_t count,
                      size_t first_row, size_t rows, size_t lane, size_t width, workspace* own, float* sums) {
  const size_t left = matrix->lanes - lane, lanes = left < width ? left : width;
  bool begins = true;
  for (size_t i = 0; i < count; i++) {
    const hearth_bf16_term* term = &terms[i];
    if (term->int8 != NULL) {
      add_int8(matrix, term, first_row, rows, lane, width, begins, sums);
      begins = false;
      continue;
    }
    if (add_columns(matrix, term, first_row, rows, lane, lanes, begins, sums)) {
      begins = false;
      continue;
    }
    const hearth_bf16_term* next = i + 1 < count && terms[i + 1].int8 == NULL ? &terms[i + 1] : NULL;
    for (size_t start = 0; start < term->depth; start += HEARTH_BF16_DEPTH) {
      const size_t rest = term->depth - start;
      const size_t depth = rest < HEARTH_BF16_DEPTH ? rest : HEARTH_BF16_DEPTH;
      cut(term, start, depth, lane, lanes, width, own->panel);
      const bool goes_on = depth == rest && next != NULL && next->depth <= NARROW_DEPTH;
      if (goes_on) cut(next, 0, next->depth, lane, lanes, width, own->narrow);
      for (size_t row = 0; row < rows; row += PREFETCHED_ROWS) {
        const size_t height = rows - row < PREFETCHED_ROWS ? rows - row : PREFETCHED_ROWS, at = first_row + row;
        if (begins) prefetch_rows(matrix, at, height, lane);
        hearth_bf16_tile tile = {.a = term->a + at * term->lda + start,
                                 .lda = term->lda,
                                 .rows = height,
                                 .pairs = (depth + 1) / 2,
                                 .panel = own->panel,
                                 .lanes = width,
                                 .sums = sums + row * width,
                                 .begins = begins};
        if (goes_on)
          tile.then = (hearth_bf16_continuation){next->a + at * next->lda, next->lda, (next->depth + 1) / 2, own->narrow};
        hearth_bf16_multiply(&tile);
      }
      begins = false;
      if (goes_on) i++;
    }
  }
  if (begins) memset(sums, 0, rows * width * sizeof *sums);
}

static void multiply_piece(const job* j, size_t piece, workspace* own) {
  size_t chunk = piece / j->panels, panel = piece % j->panels;
  const hearth_bf16_matrix* matrix = j->matrices;
  for (; panel >= panels_of(matrix); matrix++) panel -= panels_of(matrix);
  const size_t first = j->rows * chunk / j->chunks, rows = j->rows * (chunk + 1) / j->chunks - first;
  const size_t lane = panel * HEARTH_BF16_LANES, left = matrix->lanes - lane;
  const size_t width = left <= 16 ? 16 : HEARTH_BF16_LANES;
  add_terms(matrix, matrix->terms, matrix->term_count, first, rows, lane, width, own, own->sums[0]);
  if (matrix->output == HEARTH_OUTPUT_SWIGLU)
    add_terms(matrix, matrix->up_terms, matrix->up_term_count, first, rows, lane, width, own, own->sums[1]);
  hearth_bf16_write(&(hearth_bf16_sums){.matrix = matrix,
                                        .first = first,
                                        .rows = rows,
                                        .lane = lane,
                                        .lanes = left < width ? left : width,
                                        .width = width,
                                        .sums = own->sums[0],
                                        .up_sums = own->sums[1]});
}

static void multiply_pieces(void* context, int index, int count) {
  (void)index;
  job* j = context;
  workspace* own = hearth_bf16_scratch(sizeof *own);
  size_t first, last;
  while (hearth_pieces_take(&j->pieces, (size_t)count, &first, &last))
    for (size_t piece = first; piece < last; piece++) multiply_piece(j, piece, own);
}

/// Rows for which it is worth to make a panel of a term.
static size_t rows_for(const hearth_bf16_term* term) {
  if (term->int8 != NULL) return INT8_ROWS;
  // Rounding with dither takes several times as long as unpacking blocks.
  return term->b.kind == HEARTH_OPERAND_F32_DITHERED ? HEARTH_BF16_ROWS : ROWS;
}

void hearth_bf16_products(hearth_pool* pool, size_t rows, size_t count, const hearth_bf16_matrix* matrices) {
  job j = {.matrices = matrices, .count = count, .rows = rows};
  size_t most = HEARTH_BF16_ROWS;
  for (size_t i = 0; i < count; i++) {
    j.panels += panels_of(&matrices[i]);
    for (size_t t = 0; t < matrices[i].term_count; t++) {
      const size_t worth = rows_for(&matrices[i].terms[t]);
      most = worth < most ? worth : most;
    }
  }
  if (j.panels == 0 || rows == 0) return;
  j.chunks = (rows + most - 1) / most;
  // Enough pieces for all threads, as long as they are no crumbs.
  const size_t enough = PIECES_PER_THREAD * (size_t)hearth_pool_threads(pool);
  while (j.panels * j.chunks < enough && rows / (j.chunks + 1) >= FEWEST_ROWS) j.chunks++;
  hearth_pieces_begin(&j.pieces, j.panels * j.chunks);
  hearth_pool_share(pool, multiply_pieces, &j);
}
