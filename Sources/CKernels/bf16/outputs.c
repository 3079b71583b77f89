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

HEARTH_INLINE void write_swiglu(const hearth_bf16_sums* s, const bool native) {
  const hearth_bf16_matrix* m = s->matrix;
  for (size_t row = 0; row < s->rows; row++)
    for (size_t i = 0; i < s->lanes; i += LANE_COUNT) {
      size_t at = (s->first + row) * m->ldc + s->lane + i, rest = padded(s->lanes) - i;
      half_lanes gate = lanes_rounded(lanes_load(s->sums + row * s->width + i), native);
      half_lanes up = lanes_rounded(lanes_load(s->up_sums + row * s->width + i), native);
      halves_store_first(m->gate + at, gate, rest);
      halves_store_first(m->up + at, up, rest);
      // From the rounded ones, so that the gradient's is the same.
      lanes y = lanes_widened(gate) * lanes_sigmoid(lanes_widened(gate)) * lanes_widened(up);
      halves_store_first((uint16_t*)m->c + at, lanes_rounded(y, native), rest);
    }
}

//     silu'(g) = s · (1 + g·(1 − s))      s = sigmoid(g)
HEARTH_INLINE void write_swiglu_backward(const hearth_bf16_sums* s, const bool native) {
  const hearth_bf16_matrix* m = s->matrix;
  for (size_t row = 0; row < s->rows; row++)
    for (size_t i = 0; i < s->lanes; i += LANE_COUNT) {
      size_t at = (s->first + row) * m->ldc + s->lane + i, rest = padded(s->lanes) - i;
      lanes dy = lanes_load(s->sums + row * s->width + i);
      lanes gate = lanes_widened(halves_load_first(m->gate + at, rest));
      lanes up = lanes_widened(halves_load_first(m->up + at, rest));
      lanes sigmoid = lanes_sigmoid(gate), y = gate * sigmoid * up;
      lanes slope = sigmoid * lanes_fma(gate, 1.0f - sigmoid, (lanes)(1.0f));
      halves_store_first((uint16_t*)m->c + at, lanes_rounded(y, native), rest);
      halves_store_first(m->dgate + at, lanes_rounded(dy * up * slope, native), rest);
      halves_store_first(m->dup + at, lanes_rounded(dy * (gate * sigmoid), native), rest);
    }
}

HEARTH_INLINE void write_sums(const hearth_bf16_sums* s, const bool native) {
  switch (s->matrix->output) {
    case HEARTH_OUTPUT_BF16: write_halves(s, false, native); break;
    case HEARTH_OUTPUT_ADD_BF16: write_halves(s, true, native); break;
    case HEARTH_OUTPUT_ADD_TRANSPOSED: add_transposed(s); break;
    case HEARTH_OUTPUT_SWIGLU: write_swiglu(s, native); break;
    case HEARTH_OUTPUT_SWIGLU_BACKWARD: write_swiglu_backward(s, native); break;
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
