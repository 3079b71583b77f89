#include "outputs.h"

#include "halves.h"

// What becomes of the sums of a piece while they are in the first-level cache.

/// The even number of lanes that are written of a panel in bf16; beyond its last lane sums are zero.
static inline size_t padded(size_t lanes) { return lanes + lanes % 2; }

HEARTH_INLINE void write_floats(const hearth_bf16_sums* s) {
  const hearth_bf16_matrix* m = s->matrix;
  const bool adds = m->output == HEARTH_OUTPUT_ADD_F32;
  for (size_t row = 0; row < s->rows; row++)
    for (size_t i = 0; i < s->lanes; i += LANE_COUNT) {
      size_t at = (s->first + row) * m->ldc + s->lane + i, rest = s->lanes - i;
      lanes sum = lanes_load(s->sums + row * s->width + i) * m->scale;
      if (adds) sum += lanes_load_first(m->residual + at, rest, 0);
      lanes_store_first((float*)m->c + at, sum, rest);
    }
}

HEARTH_INLINE void write_halves(const hearth_bf16_sums* s, const bool adds, const bool native) {
  const hearth_bf16_matrix* m = s->matrix;
  for (size_t row = 0; row < s->rows; row++)
    for (size_t i = 0; i < s->lanes; i += LANE_COUNT) {
      lanes sum = lanes_load(s->sums + row * s->width + i) * m->scale;
      uint16_t* c = (uint16_t*)m->c + (s->first + row) * m->ldc + s->lane + i;
      const size_t rest = (adds ? s->lanes : padded(s->lanes)) - i;
      if (adds) sum += lanes_widened(halves_load_first(c, rest));
      halves_store_first(c, lanes_rounded(sum, native), rest);
    }
}

HEARTH_INLINE void add_transposed(const hearth_bf16_sums* s) {
  const hearth_bf16_matrix* m = s->matrix;
  for (size_t i = 0; i < s->lanes; i++) {
    float* c = (float*)m->c + (s->lane + i) * m->ldc + s->first;
    for (size_t row = 0; row < s->rows; row++) {
      float sum = s->sums[row * s->width + i] * m->scale;
      c[row] += sum;
    }
  }
}

_Static_assert(HEARTH_BF16_GATE_LANES == HEARTH_BF16_LANES, "what is kept lies in the panels that are computed");

/// Thirty-two numbers of a row, or fewer and zeros.
typedef struct {
  lanes x[HEARTH_BF16_LANES / LANE_COUNT];
} gate_lanes;

/// Rounds them to bytes and returns what a byte stands for.
HEARTH_INLINE uint16_t keep_lanes(int8_t* q, const gate_lanes* from) {
  typedef int8_t byte_lanes __attribute__((ext_vector_type(LANE_COUNT)));
  bit_lanes largest = 0;
  for (size_t v = 0; v < HEARTH_BF16_LANES / LANE_COUNT; v++) {
    // As integers, magnitudes are ordered as numbers are, infinity next to last and NaN last.
    bit_lanes magnitude;
    memcpy(&magnitude, &from->x[v], sizeof magnitude);
    magnitude &= 0x7fffffffu;
    largest = largest > magnitude ? largest : magnitude;
  }
  uint32_t bits = __builtin_reduce_max(largest);
  float scale;
  memcpy(&scale, &bits, sizeof scale);
  scale /= 127;
  memcpy(&bits, &scale, sizeof bits);
  // Up, so that no byte is beyond 127. What is no number makes all 32 none.
  const uint16_t half = bits < 0x7f800000u ? (uint16_t)((bits + 0xffffu) >> 16) : 0x7fc0u;
  bits = (uint32_t)half << 16;
  memcpy(&scale, &bits, sizeof scale);
  const float inverse = scale >= 0x1p-120f ? 1 / scale : 0;
  for (size_t v = 0; v < HEARTH_BF16_LANES / LANE_COUNT; v++) {
    lanes rounded = __builtin_elementwise_roundeven(inverse > 0 ? from->x[v] * inverse : (lanes)(0.0f));
    byte_lanes bytes = __builtin_convertvector(__builtin_convertvector(rounded, integer_lanes), byte_lanes);
    memcpy(q + v * LANE_COUNT, &bytes, sizeof bytes);
  }
  return half;
}

HEARTH_INLINE gate_lanes kept_lanes(const int8_t* q, uint16_t half) {
  typedef int8_t byte_lanes __attribute__((ext_vector_type(LANE_COUNT)));
  const uint32_t bits = (uint32_t)half << 16;
  float scale;
  memcpy(&scale, &bits, sizeof scale);
  gate_lanes y;
  for (size_t v = 0; v < HEARTH_BF16_LANES / LANE_COUNT; v++) {
    byte_lanes bytes;
    memcpy(&bytes, q + v * LANE_COUNT, sizeof bytes);
    y.x[v] = __builtin_convertvector(bytes, lanes) * scale;
  }
  return y;
}

/// Which row of all panels' rows of 64 bytes one is.
HEARTH_INLINE size_t gate_row(const hearth_bf16_sums* s, size_t row) {
  return s->lane / HEARTH_BF16_LANES * s->matrix->gates.rows + s->first + row;
}

HEARTH_INLINE void write_swiglu(const hearth_bf16_sums* s, const bool native) {
  const hearth_bf16_matrix* m = s->matrix;
  for (size_t row = 0; row < s->rows; row++) {
    gate_lanes gates = {0}, ups = {0};
    for (size_t v = 0, i = 0; i < s->lanes; v++, i += LANE_COUNT) {
      size_t at = (s->first + row) * m->ldc + s->lane + i, rest = padded(s->lanes) - i;
      half_lanes gate = lanes_rounded(lanes_load(s->sums + row * s->width + i), native);
      half_lanes up = lanes_rounded(lanes_load(s->up_sums + row * s->width + i), native);
      if (m->gate != NULL) {
        halves_store_first(m->gate + at, gate, rest);
        halves_store_first(m->up + at, up, rest);
      }
      // From the rounded ones, so that the gradient's is the same.
      gates.x[v] = lanes_widened(gate), ups.x[v] = lanes_widened(up);
      lanes y = gates.x[v] * lanes_sigmoid(gates.x[v]) * ups.x[v];
      halves_store_first((uint16_t*)m->c + at, lanes_rounded(y, native), rest);
    }
    if (m->gates.q == NULL) continue;
    const size_t to = gate_row(s, row);
    m->gates.scales[2 * to] = keep_lanes(m->gates.q + 64 * to, &gates);
    m->gates.scales[2 * to + 1] = keep_lanes(m->gates.q + 64 * to + 32, &ups);
  }
}

//     silu'(g) = s · (1 + g·(1 − s))      s = sigmoid(g)
HEARTH_INLINE void write_swiglu_backward(const hearth_bf16_sums* s, const bool kept, const bool native) {
  const hearth_bf16_matrix* m = s->matrix;
  for (size_t row = 0; row < s->rows; row++) {
    gate_lanes gates = {0}, ups = {0};
    if (kept) {
      const size_t from = gate_row(s, row);
      gates = kept_lanes(m->gates.q + 64 * from, m->gates.scales[2 * from]);
      ups = kept_lanes(m->gates.q + 64 * from + 32, m->gates.scales[2 * from + 1]);
    }
    for (size_t v = 0, i = 0; i < s->lanes; v++, i += LANE_COUNT) {
      size_t at = (s->first + row) * m->ldc + s->lane + i, rest = padded(s->lanes) - i;
      lanes dy = lanes_load(s->sums + row * s->width + i);
      lanes gate = kept ? gates.x[v] : lanes_widened(halves_load_first(m->gate + at, rest));
      lanes up = kept ? ups.x[v] : lanes_widened(halves_load_first(m->up + at, rest));
      lanes sigmoid = lanes_sigmoid(gate), y = gate * sigmoid * up;
      lanes slope = sigmoid * lanes_fma(gate, 1.0f - sigmoid, (lanes)(1.0f));
      halves_store_first((uint16_t*)m->c + at, lanes_rounded(y, native), rest);
      halves_store_first(m->dgate + at, lanes_rounded(dy * up * slope, native), rest);
      halves_store_first(m->dup + at, lanes_rounded(dy * (gate * sigmoid), native), rest);
    }
  }
}

HEARTH_INLINE void write_sums(const hearth_bf16_sums* s, const bool native) {
  switch (s->matrix->output) {
    case HEARTH_OUTPUT_BF16: write_halves(s, false, native); break;
    case HEARTH_OUTPUT_ADD_BF16: write_halves(s, true, native); break;
    case HEARTH_OUTPUT_ADD_TRANSPOSED: add_transposed(s); break;
    case HEARTH_OUTPUT_SWIGLU: write_swiglu(s, native); break;
    case HEARTH_OUTPUT_SWIGLU_BACKWARD:
      if (s->matrix->gates.q != NULL)
        write_swiglu_backward(s, true, native);
      else
        write_swiglu_backward(s, false, native);
      break;
    default: write_floats(s);
  }
}

HEARTH_INLINE void write_body(void* context, int index, int count, const bool native) {
  (void)index, (void)count, (void)native;
  // Copies, which the compiler knows that no number is written to.
  hearth_bf16_sums s = *(const hearth_bf16_sums*)context;
  const hearth_bf16_matrix m = *s.matrix;
  s.matrix = &m;
  if (s.lanes == HEARTH_BF16_LANES && s.width == HEARTH_BF16_LANES) {
    // The same with numbers that it knows.
    s.lanes = s.width = HEARTH_BF16_LANES;
    write_sums(&s, native);
  } else {
    write_sums(&s, native);
  }
}
HEARTH_BF16_KERNEL(write)

void hearth_bf16_write(const hearth_bf16_sums* sums) { write((void*)sums, 0, 1); }
