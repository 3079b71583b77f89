#ifndef HEARTH_PIECES_H
#define HEARTH_PIECES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

// Work cut into numbered pieces that threads take as they become free: when something disturbs one thread, or pieces cost
// differently, the others do more. Who does a piece must change nothing in it.

typedef struct {
  size_t count;
  atomic_size_t next;
} hearth_pieces;

static inline void hearth_pieces_begin(hearth_pieces* pieces, size_t count) {
  pieces->count = count;
  atomic_init(&pieces->next, 0);
}

/// Takes pieces first ..< last: a share of what is left, so that few turns are taken and the last ones are small; false when
/// nothing is left.
static inline bool hearth_pieces_take(hearth_pieces* pieces, size_t threads, size_t* first,
                                      size_t* last) {
  *first = atomic_load_explicit(&pieces->next, memory_order_relaxed);
  do {
    if (*first >= pieces->count) return false;
    size_t share = (pieces->count - *first) / (2 * threads);
    *last = *first + (share > 0 ? share : 1);
  } while (!atomic_compare_exchange_weak_explicit(&pieces->next, first, *last, memory_order_relaxed,
                                                  memory_order_relaxed));
  return true;
}

#endif
