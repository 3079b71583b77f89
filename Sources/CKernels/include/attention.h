#ifndef HEARTH_ATTENTION_H
#define HEARTH_ATTENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elementwise.h"
#include "threads.h"

// Causal attention with grouped queries: over a paged cache when generating, over whole sequences
// (with gradients) when training.
//
// In both, scores of a query are split at fixed key positions (multiples of HEARTH_PAGE_TOKENS)
// with an online softmax (Milakov and Gimelshein, arXiv:1805.02867), so an output does not depend
// on how a prompt was chunked, on what else is in the batch, on threads or on the instruction set.

/// Key positions in a page of the cache.
#define HEARTH_PAGE_TOKENS 32

/// The widest head these functions take; any width from 1 to this. The caller checks.
#define HEARTH_HEAD_WIDTH_MAXIMUM 512

/// How the cache stores keys and values. Q8: the row of a head in integers of 8 bits, with one scale in f16.
typedef enum { HEARTH_CACHE_F32 = 0, HEARTH_CACHE_F16 = 1, HEARTH_CACHE_Q8 = 2 } hearth_cache_type;

/// Bytes that one layer takes in a page: keys [heads, head_width, HEARTH_PAGE_TOKENS] (transposed:
/// vector lanes run over keys, sums over head_width in order), then values [heads,
/// HEARTH_PAGE_TOKENS, head_width]. In Q8 the scales follow: of keys [heads, HEARTH_PAGE_TOKENS], of values likewise.
size_t hearth_page_layer_bytes(size_t key_value_heads, size_t head_width, hearth_cache_type type);

/// The rows of one sequence in a batch.
typedef struct {
  float* q;            ///< [count, heads * head_width]; turned in place
  float* k;            ///< [count, key_value_heads * head_width]; turned in place
  const float* v;      ///< likewise
  float* y;            ///< [count, heads * head_width], overwritten
  void* const* pages;  ///< the sequence's pages
  size_t count;        ///< rows; the last sits at position first + count - 1
  size_t first;        ///< position of the first row; its query sees keys 0...first
} hearth_query_run;

/// What attention of one layer is like. `pages[p] + layer_offset` is the layer's block for positions p * HEARTH_PAGE_TOKENS....
typedef struct {
  size_t heads, key_value_heads, head_width;
  float scale;
  size_t ldq, ldk, ldy;  ///< distances between rows: of q, of k and v, of y
  size_t layer_offset;
  hearth_cache_type type;
  /// By which queries and keys turn at each position, as in `hearth_rope` with the whole head; NULL when they do not.
  const float *cosines, *sines;
  hearth_rope_pairing pairing;
} hearth_cached_layer;

/// Turns queries and keys, stores keys and values in the sequences' pages, and y = softmax(scale * q·kᵀ)·v; for all runs of a batch.
///
/// What pages hold beyond a sequence's last position is never seen, whatever it is. An f16 cache rounds to nearest, ties to even, and
/// saturates at 65504.
void hearth_cached_attention(hearth_pool* pool, const hearth_query_run* runs, size_t run_count,
                             const hearth_cached_layer* layer);

/// Attention of packed sequences in training: q [tokens, heads * head_width], k and v [tokens,
/// key_value_heads * head_width]; sequence s covers rows starts[s] ..< starts[s + 1] (starts has
/// sequences + 1 entries) and sees only itself. `causal` false lets every query see its whole
/// sequence. `log_sum` [tokens, heads] receives log(sum(exp(scores))) for the backward pass, or is
/// NULL.
void hearth_attention(hearth_pool* pool, float* y, float* log_sum, const float* q, const float* k,
                      const float* v, const int32_t* starts, size_t sequences, size_t heads,
                      size_t key_value_heads, size_t head_width, float scale, bool causal);

/// Adds the gradients of q, k and v (Dao, FlashAttention-2, arXiv:2307.08691, algorithm 2,
/// recomputing the probabilities from `log_sum`). `y` is the forward's output.
void hearth_attention_backward(hearth_pool* pool, float* dq, float* dk, float* dv, const float* dy,
                               const float* y, const float* log_sum, const float* q, const float* k,
                               const float* v, const int32_t* starts, size_t sequences,
                               size_t heads, size_t key_value_heads, size_t head_width, float scale,
                               bool causal);

#endif
