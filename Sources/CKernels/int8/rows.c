#include "../bf16/turn.h"
#include "columns.h"

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
      const uint16_t* x = t->x + row * t->ldx + at;
      // A whole block by a number that the compiler knows.
      *factors++ = rest >= HEARTH_INT8_BLOCK ? quantize_block(q + at, x, HEARTH_INT8_BLOCK) : quantize_block(q + at, x, rest);
    }
  }
}
HEARTH_KERNEL(quantize_task)

void hearth_int8_quantize(hearth_pool* pool, void* out, const uint16_t* x, size_t ldx, size_t rows, size_t columns) {
  quantizing t = {.out = out, .x = x, .row_bytes = hearth_int8_row_bytes(columns), .ldx = ldx, .rows = rows, .columns = columns};
  hearth_pool_run(pool_for(pool, rows * columns), quantize_task, &t);
}

/// Sixteen columns of a tile become a block of `count` rows.
HEARTH_INLINE void turn_to_rows(const quantizing* t, const column_tile* tile, const int vector, size_t row, size_t block,
                                size_t depth, size_t count) {
  const column_scales scales = scales_of(tile, vector, depth);
  integer_lanes sum = 0;
  // Up to 64 numbers at a time, as words of four.
  const size_t padded = (depth + 7) / 8 * 8;
  for (size_t start = 0; start < padded; start += 64) {
    bit_lanes words[16];
    for (size_t g = 0; g < 16; g++) {
      words[g] = 0;
      for (size_t j = 0; j < 4 && start + 4 * g + j < depth; j++) {
        integer_lanes q = rounded_columns(tile, vector, start + 4 * g + j, &scales);
        sum += q;
        words[g] |= (__builtin_convertvector(q, bit_lanes) & 0xffu) << 8 * j;
      }
    }
    turn_words(words);
    const size_t bytes = padded - start < 64 ? padded - start : 64;
    for (size_t i = 0; i < count; i++)
      memcpy(t->out + (row + i) * t->row_bytes + block * HEARTH_INT8_BLOCK + start, &words[i], bytes);
  }
  sum *= -HEARTH_INT8_OFFSET;
  for (size_t i = 0; i < count; i++) {
    hearth_int8_factor factor = {scales.scale[i], sum[i]};
    memcpy(t->out + (row + i) * t->row_bytes + hearth_int8_factor_offset(t->rows) + block * sizeof factor, &factor,
           sizeof factor);
  }
}

HEARTH_INLINE void quantize_columns_task_body(void* context, int index, int count) {
  const quantizing* t = context;
  const hearth_int8_source from = {.halves = t->x, .ld = t->ldx};
  hearth_share share = share_of(t->columns, HEARTH_INT8_LANES, index, count);
  column_tile tile;
  for (size_t column = share.from; column < share.to; column += HEARTH_INT8_LANES)
    for (size_t block = 0; block < hearth_int8_blocks(t->rows); block++) {
      const size_t start = block * HEARTH_INT8_BLOCK, rest = t->rows - start, left = share.to - column;
      const size_t depth = rest < HEARTH_INT8_BLOCK ? rest : HEARTH_INT8_BLOCK;
      if (depth == HEARTH_INT8_BLOCK && left >= HEARTH_INT8_LANES) {
        // The same with numbers that the compiler knows.
        read_columns(&tile, &from, start, HEARTH_INT8_BLOCK, column, HEARTH_INT8_LANES, HEARTH_INT8_BLOCK * t->ldx);
        for (int v = 0; v < HEARTH_INT8_VECTORS; v++)
          turn_to_rows(t, &tile, v, column + (size_t)v * LANE_COUNT, block, HEARTH_INT8_BLOCK, LANE_COUNT);
        continue;
      }
      read_columns(&tile, &from, start, depth, column, left < HEARTH_INT8_LANES ? left : HEARTH_INT8_LANES, 0);
      for (int v = 0; v < HEARTH_INT8_VECTORS && (size_t)v * LANE_COUNT < left; v++) {
        const size_t lanes_left = left - (size_t)v * LANE_COUNT;
        turn_to_rows(t, &tile, v, column + (size_t)v * LANE_COUNT, block, depth,
                     lanes_left < LANE_COUNT ? lanes_left : LANE_COUNT);
      }
    }
}
HEARTH_KERNEL(quantize_columns_task)

void hearth_int8_quantize_columns(hearth_pool* pool, void* out, const uint16_t* x, size_t ldx, size_t rows, size_t columns) {
  quantizing t = {.out = out, .x = x, .row_bytes = hearth_int8_row_bytes(rows), .ldx = ldx, .rows = rows, .columns = columns};
  hearth_pool_run(pool_for(pool, rows * columns), quantize_columns_task, &t);
}
