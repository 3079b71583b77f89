#include "include/affine.h"

#include "affine/affine_internal.h"
#include "include/isa.h"

// Products of packed matrices. The work is a list of pieces, each one panel of one matrix and a chunk of the tokens; a
// thread takes a stretch of the list. A chunk's activations stay in the second-level cache while panels pass by. Which thread does a piece changes nothing in it.

/// From so many tokens on, unpacking a panel first pays.
enum { UNPACKING_TOKENS = 8 };

typedef struct {
  const hearth_affine* const* matrices;
  float* const* ys;
  const size_t* ldys;
  const hearth_activation_block* activations;
  size_t terms;
  size_t tokens, panels, chunks;  ///< panels: of all matrices together
} job;

static void multiply_piece(const job* j, size_t piece) {
  size_t chunk = piece / j->panels, panel = piece % j->panels, matrix = 0;
  while (panel >= j->matrices[matrix]->panels) panel -= j->matrices[matrix++]->panels;
  size_t first = j->tokens * chunk / j->chunks, last = j->tokens * (chunk + 1) / j->chunks;
  hearth_panel_product product = {.matrix = j->matrices[matrix],
                                  .panel = panel,
                                  .first = first,
                                  .tokens = last - first,
                                  .activations = j->activations,
                                  .stride = j->terms * j->matrices[matrix]->blocks,
                                  .y = j->ys[matrix],
                                  .ldy = j->ldys[matrix]};
#if defined(__x86_64__)
  if (hearth_isa_current() >= HEARTH_ISA_AVX512) {
    hearth_panel_product_avx512(&product);
    return;
  }
  if (hearth_isa_current() >= HEARTH_ISA_AVX2) {
    if (product.tokens < UNPACKING_TOKENS)
      hearth_panel_product_avx2(&product);
    else
      hearth_panel_product_batch_avx2(&product);
    return;
  }
#endif
  hearth_panel_product_scalar(&product);
}

static void multiply_pieces(void* context, int index, int count) {
  const job* j = context;
  size_t pieces = j->panels * j->chunks;
  size_t first = pieces * (size_t)index / (size_t)count;
  size_t last = pieces * ((size_t)index + 1) / (size_t)count;
  for (size_t piece = first; piece < last; piece++) multiply_piece(j, piece);
}

void hearth_affine_matmul_many(hearth_pool* pool, size_t count,
                               const hearth_affine* const* matrices, const void* activations,
                               int terms, size_t tokens, float* const* ys, const size_t* ldys) {
  job j = {.matrices = matrices,
           .ys = ys,
           .ldys = ldys,
           .activations = activations,
           .terms = (size_t)terms,
           .tokens = tokens,
           .chunks = (tokens + HEARTH_BATCH_TOKENS - 1) / HEARTH_BATCH_TOKENS};
  for (size_t i = 0; i < count; i++) j.panels += matrices[i]->panels;
  if (j.panels == 0 || tokens == 0) return;
  hearth_pool_run(pool, multiply_pieces, &j);
}

void hearth_affine_matmul(hearth_pool* pool, const hearth_affine* matrix, const void* activations,
                          int terms, size_t tokens, float* y, size_t ldy) {
  hearth_affine_matmul_many(pool, 1, &matrix, activations, terms, tokens, &y, &ldy);
}
