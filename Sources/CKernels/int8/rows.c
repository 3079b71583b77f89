#include <math.h>

#include "../bf16/halves.h"
#include "int8_internal.h"

// Rows of gradients in 8 bits.

size_t hearth_int8_row_bytes(size_t depth) {
  enum { LINE = 64 };
  size_t bytes = hearth_int8_factor_offset(depth) + hearth_int8_blocks(depth) * sizeof(hearth_int8_factor);
  size_t lines = (bytes + LINE - 1) / LINE;
  // Rows of a multiple of 1 KB would meet in the same sets of the first-level cache.
  return (lines > 1 && lines % 16 == 0 ? lines + 1 : lines) * LINE;
}

typedef struct {
  uint8_t* out;
  const uint16_t* x;
  size_t row_bytes, ldx, rows, columns;
} quantizing;

typedef int8_t byte_lanes __attribute__((ext_vector_type(LANE_COUNT)));

/// One block of at most 128 numbers.
HEARTH_INLINE hearth_int8_factor quantize_block(int8_t* q, const uint16_t* x, size_t count) {
  bit_lanes largest = 0;
  for (size_t i = 0; i < count; i += LANE_COUNT) {
    // As integers, magnitudes are ordered as numbers are, infinity next to last and NaN last.
    bit_lanes magnitude = __builtin_convertvector(halves_load_first(x + i, count - i), bit_lanes) & 0x7fffu;
    largest = largest > magnitude ? largest : magnitude;
  }
  uint32_t bits = __builtin_reduce_max(largest) << 16;
  float max;
  memcpy(&max, &bits, sizeof max);
  if (bits >= 0x7f800000u) {
    memset(q, 0, count);
    return (hearth_int8_factor){NAN, 0};
  }
  const float inverse = 127 / max < INFINITY ? 127 / max : 0;
  integer_lanes sum = 0;
  for (size_t i = 0; i < count; i += LANE_COUNT) {
    lanes rounded = __builtin_elementwise_roundeven(lanes_widened(halves_load_first(x + i, count - i)) * inverse);
    integer_lanes integers = __builtin_convertvector(rounded, integer_lanes);
    byte_lanes bytes = __builtin_convertvector(integers, byte_lanes);
    sum += integers;
    if (count - i >= LANE_COUNT)
      memcpy(q + i, &bytes, sizeof bytes);
    else
      memcpy(q + i, &bytes, count - i);
  }
  return (hearth_int8_factor){inverse > 0 ? max / 127 : 0, -HEARTH_INT8_OFFSET * __builtin_reduce_add(sum)};
}

HEARTH_INLINE void quantize_task_body(void* context, int index, int count) {
  const quantizing* t = context;
  const size_t filled = hearth_int8_factor_offset(t->columns);
  hearth_share share = share_of(t->rows, 1, index, count);
  for (size_t row = share.from; row < share.to; row++) {
    int8_t* q = (int8_t*)t->out + row * t->row_bytes;
    hearth_int8_factor* factors = (hearth_int8_factor*)(void*)(q + filled);
    memset(q + t->columns, 0, filled - t->columns);
    for (size_t at = 0; at < t->columns; at += HEARTH_INT8_BLOCK) {
      const size_t rest = t->columns - at;
      *factors++ = quantize_block(q + at, t->x + row * t->ldx + at, rest < HEARTH_INT8_BLOCK ? rest : HEARTH_INT8_BLOCK);
    }
  }
}
HEARTH_KERNEL(quantize_task)

void hearth_int8_quantize(hearth_pool* pool, void* out, const uint16_t* x, size_t ldx, size_t rows, size_t columns) {
  quantizing t = {out, x, hearth_int8_row_bytes(columns), ldx, rows, columns};
  hearth_pool_run(pool_for(pool, rows * columns), quantize_task, &t);
}
