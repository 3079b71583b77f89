#include <math.h>

#include "../include/elementwise.h"
#include "lanes.h"

// The largest of many numbers, and the first place where it is.

typedef struct {
  const float* x;
  size_t count, place;
  float largest;
} search;

HEARTH_INLINE void largest_task_body(void* context, int index, int count) {
  (void)index, (void)count;
  search* s = context;
  enum { CHAINS = 2 };
  lanes largest[CHAINS];
  // What is neither below infinity nor -infinity itself leaves its mark here.
  integer_lanes usable = -1;
  for (int i = 0; i < CHAINS; i++) largest[i] = -INFINITY;
  size_t i = 0;
  for (; i + CHAINS * LANE_COUNT <= s->count; i += CHAINS * LANE_COUNT)
    for (int chain = 0; chain < CHAINS; chain++) {
      lanes x = lanes_load(s->x + i + (size_t)chain * LANE_COUNT);
      usable &= x < INFINITY;
      largest[chain] = lanes_max(largest[chain], x);
    }
  for (; i < s->count; i += LANE_COUNT) {
    lanes x = lanes_load_first(s->x + i, s->count - i, -INFINITY);
    usable &= x < INFINITY;
    largest[0] = lanes_max(largest[0], x);
  }
  for (int chain = 1; chain < CHAINS; chain++) largest[0] = lanes_max(largest[0], largest[chain]);
  s->place = s->count;
  for (int lane = 0; lane < LANE_COUNT; lane++)
    if (usable[lane] == 0) return;
  s->largest = lanes_largest(largest[0]);
  for (i = 0; i < s->count; i += LANE_COUNT) {
    integer_lanes same = lanes_load_first(s->x + i, s->count - i, -INFINITY) == s->largest;
    int32_t any = 0;
    for (int lane = 0; lane < LANE_COUNT; lane++) any |= same[lane];
    if (any == 0) continue;
    for (int lane = LANE_COUNT - 1; lane >= 0; lane--)
      if (same[lane] != 0) s->place = i + (size_t)lane;
    return;
  }
}
HEARTH_KERNEL(largest_task)

size_t hearth_largest(const float* x, size_t count, float* largest) {
  search s = {.x = x, .count = count};
  largest_task(&s, 0, 1);
  if (s.place < count) *largest = s.largest;
  return s.place;
}
