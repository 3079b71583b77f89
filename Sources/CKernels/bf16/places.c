#include "../include/bf16.h"
#include "halves.h"

// Between the rows of a pass and the places of its sequences, of which several may stand for one row.

typedef struct {
  uint16_t* y;
  const uint16_t* x;
  const int32_t *rows, *offsets, *places;
  size_t ldy, ldx, count, columns;
} moving;

HEARTH_INLINE void unfold_task_body(void* context, int index, int count) {
  const moving* m = context;
  hearth_share share = share_of(m->count, 1, index, count);
  for (size_t place = share.from; place < share.to; place++) {
    uint16_t* y = m->y + place * m->ldy;
    const size_t bytes = (m->columns + m->columns % 2) * sizeof *y;
    if (m->rows[place] < 0)
      memset(y, 0, bytes);
    else
      memcpy(y, m->x + (size_t)m->rows[place] * m->ldx, bytes);
  }
}
HEARTH_KERNEL(unfold_task)

void hearth_bf16_unfold(hearth_pool* pool, uint16_t* y, size_t ldy, const uint16_t* x, size_t ldx, const int32_t* rows,
                        size_t places, size_t columns) {
  moving m = {.y = y, .ldy = ldy, .x = x, .ldx = ldx, .rows = rows, .count = places, .columns = columns};
  hearth_pool_run(pool_for(pool, places * columns), unfold_task, &m);
}

HEARTH_INLINE void fold_task_body(void* context, int index, int count, const bool native) {
  const moving* m = context;
  hearth_share share = share_of(m->count, 1, index, count);
  for (size_t row = share.from; row < share.to; row++) {
    const int32_t *place = m->places + m->offsets[row], *end = m->places + m->offsets[row + 1];
    for (size_t i = 0; i < m->columns; i += LANE_COUNT) {
      const size_t rest = m->columns + m->columns % 2 - i;
      lanes sum = 0;
      for (const int32_t* p = place; p < end; p++)
        sum += lanes_widened(halves_load_first(m->x + (size_t)*p * m->ldx + i, rest));
      halves_store_first(m->y + row * m->ldy + i, lanes_rounded(sum, native), rest);
    }
  }
}
HEARTH_BF16_KERNEL(fold_task)

void hearth_bf16_fold(hearth_pool* pool, uint16_t* y, size_t ldy, const uint16_t* x, size_t ldx, const int32_t* offsets,
                      const int32_t* places, size_t rows, size_t columns) {
  moving m = {.y = y, .ldy = ldy, .x = x, .ldx = ldx, .offsets = offsets, .places = places, .count = rows,
              .columns = columns};
  hearth_pool_run(pool_for(pool, rows * columns), fold_task, &m);
}
