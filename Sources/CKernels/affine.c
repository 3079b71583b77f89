#include "include/affine.h"

#include "affine/inputs.h"
#include "include/isa.h"
#include "pieces.h"

// Products of packed matrices. The work is a list of pieces, each one panel of one matrix and a chunk of the tokens;
// threads take a few at a time as they become free. A chunk's activations stay in the second-level cache while panels pass
// by. Which thread does a piece changes nothing in it.

#if defined(__aarch64__)
/// From so many tokens on, unpacking a panel first pays with i8mm.
enum { UNPACKING_TOKENS = 8 };
#endif

typedef struct {
  const hearth_affine* const* matrices;
  float* const* ys;
  const size_t* ldys;
  const float* residual;  ///< added to the product of the one matrix there is then
  size_t ldresidual;
  const hearth_prepared_rows* repeated;  ///< what each thread prepares for itself first, or NULL
  const hearth_activation_block* activations;
  size_t terms;
  size_t tokens, panels, chunks;  ///< panels: of all matrices together
  hearth_pieces pieces;
} job;

/// One panel.
static void multiply_panel(const hearth_panel_product* product) {
#if defined(__x86_64__)
  if (hearth_isa_current() >= HEARTH_ISA_AVX512) {
    hearth_panel_product_avx512(product);
    return;
  }
#elif defined(__aarch64__)
  switch (hearth_isa_current()) {
    case HEARTH_ISA_I8MM:
      if (product->tokens < UNPACKING_TOKENS)
        hearth_panel_product_i8mm(product);
      else
        hearth_panel_product_batch_i8mm(product);
      return;
    case HEARTH_ISA_DOTPROD: hearth_panel_product_dotprod(product); return;
    case HEARTH_ISA_NEON: hearth_panel_product_neon(product); return;
    default: break;
  }
#endif
  hearth_panel_product_scalar(product);
}

void hearth_panel_products(hearth_panel_product product) {
#if defined(__x86_64__)
  switch (hearth_isa_current()) {
    case HEARTH_ISA_AVX2: hearth_panel_product_avx2(&product); return;
    case HEARTH_ISA_AVXVNNI: hearth_panel_product_avxvnni(&product); return;
    default: break;
  }
#endif
  for (; product.panels > 0; product.panels--, product.panel++) multiply_panel(&product);
}

/// Adds the residual to what pieces have written.
static void add_residual(const job* j, const hearth_panel_product* product) {
  size_t top = product->panel * HEARTH_PANEL_ROWS, left = product->matrix->rows - top;
  size_t rows = product->panels * HEARTH_PANEL_ROWS;
  if (rows > left) rows = left;
  for (size_t t = product->first; t < product->first + product->tokens; t++) {
    float* y = product->y + t * product->ldy + top;
    const float* residual = j->residual + t * j->ldresidual + top;
    for (size_t r = 0; r < rows; r++) y[r] += residual[r];
  }
}

/// Does pieces from `piece` on, up to `last` at most, that are panels of one matrix and one chunk; returns how many.
static size_t multiply_some(const job* j, const hearth_activation_block* activations, size_t piece,
                            size_t last) {
  size_t chunk = piece / j->panels, panel = piece % j->panels, matrix = 0;
  while (panel >= j->matrices[matrix]->panels) panel -= j->matrices[matrix++]->panels;
  size_t left = j->matrices[matrix]->panels - panel;
  size_t first = j->tokens * chunk / j->chunks, end = j->tokens * (chunk + 1) / j->chunks;
  hearth_panel_product product = {.matrix = j->matrices[matrix],
                                  .panel = panel,
                                  .panels = last - piece < left ? last - piece : left,
                                  .first = first,
                                  .tokens = end - first,
                                  .activations = activations,
                                  .stride = j->terms * j->matrices[matrix]->blocks,
                                  .y = j->ys[matrix],
                                  .ldy = j->ldys[matrix]};
  hearth_panel_products(product);
  if (j->residual != NULL) add_residual(j, &product);
  return product.panels;
}

static void multiply_pieces(void* context, int index, int count) {
  job* j = context;
  const hearth_activation_block* activations = j->activations;
  if (j->repeated != NULL) {
    hearth_prepared_rows own = *j->repeated;
    own.out += (size_t)index * own.tokens * own.terms * own.blocks;
    hearth_prepare_rows(&own, 0, 1);
    activations = own.out;
  }
  size_t first, last;
  while (hearth_pieces_take(&j->pieces, (size_t)count, &first, &last))
    for (size_t piece = first; piece < last;) piece += multiply_some(j, activations, piece, last);
}

static void run(hearth_pool* pool, size_t count, job* j) {
  j->chunks = (j->tokens + HEARTH_BATCH_TOKENS - 1) / HEARTH_BATCH_TOKENS;
  for (size_t i = 0; i < count; i++) j->panels += j->matrices[i]->panels;
  if (j->panels == 0 || j->tokens == 0) return;
  hearth_pieces_begin(&j->pieces, j->panels * j->chunks);
  hearth_pool_share(pool, multiply_pieces, j);
}

void hearth_affine_matmul_many(hearth_pool* pool, size_t count,
                               const hearth_affine* const* matrices, const void* activations,
                               int terms, size_t tokens, float* const* ys, const size_t* ldys) {
  job j = {.matrices = matrices,
           .ys = ys,
           .ldys = ldys,
           .activations = activations,
           .terms = (size_t)terms,
           .tokens = tokens};
  run(pool, count, &j);
}

void hearth_affine_matmul(hearth_pool* pool, const hearth_affine* matrix, const void* activations,
                          int terms, size_t tokens, float* y, size_t ldy) {
  hearth_affine_matmul_many(pool, 1, &matrix, activations, terms, tokens, &y, &ldy);
}

void hearth_affine_project(hearth_pool* pool, const hearth_projection_input* input, size_t tokens,
                           size_t count, const hearth_affine* const* matrices, float* const* ys,
                           const size_t* ldys, const float* residual, size_t ldresidual,
                           void* activations) {
  if (count == 0 || tokens == 0) return;
  size_t terms = 1;
  for (size_t i = 0; i < count; i++)
    if (matrices[i]->terms == 2) terms = 2;
  hearth_prepared_rows rows = {.input = input,
                               .out = activations,
                               .tokens = tokens,
                               .blocks = matrices[0]->blocks,
                               .terms = terms};
  job j = {.matrices = matrices,
           .ys = ys,
           .ldys = ldys,
           .residual = residual,
           .ldresidual = ldresidual,
           .activations = activations,
           .terms = terms,
           .tokens = tokens};
  // One or two rows are prepared sooner by every thread than by one while the others wait.
  if (tokens <= HEARTH_REPEATED_TOKENS)
    j.repeated = &rows;
  else
    hearth_prepare_all_rows(pool, &rows);
  run(pool, count, &j);
}
