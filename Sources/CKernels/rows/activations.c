#include "../include/elementwise.h"
#include "row_functions.h"

// SwiGLU's gate and both GELUs, with their gradients. Every element stands alone.

typedef struct {
  float *y, *dx, *dup;
  const float *dy, *x, *up;
  size_t count;
} map;

/// Goes through a worker's elements sixteen at a time; `rest` is how many are left at `i`.
#define EACH_SIXTEEN(m)                                                  \
  hearth_share share = share_of((m)->count, LANE_COUNT, index, count);   \
  for (size_t i = share.from, rest; rest = (m)->count - i, i < share.to; \
       i += LANE_COUNT)
#define LOAD(field) lanes_load_first(m->field + i, rest, 0)
#define ADD(field, gradient) lanes_store_first(m->field + i, LOAD(field) + (gradient), rest)

HEARTH_INLINE void swiglu_task_body(void* context, int index, int count) {
  const map* m = context;
  EACH_SIXTEEN(m) {
    lanes_store_first(m->y + i, lanes_swiglu(LOAD(x), LOAD(up)), rest);
  }
}
HEARTH_KERNEL(swiglu_task)

void hearth_swiglu(hearth_pool* pool, float* y, const float* gate, const float* up, size_t count) {
  map m = {.y = y, .x = gate, .up = up, .count = count};
  hearth_pool_run(pool_for(pool, count), swiglu_task, &m);
}

//     silu'(g) = s · (1 + g·(1 − s))      s = sigmoid(g)
HEARTH_INLINE void swiglu_backward_task_body(void* context, int index, int count) {
  const map* m = context;
  EACH_SIXTEEN(m) {
    lanes gate = LOAD(x), dy = LOAD(dy), s = lanes_sigmoid(gate);
    if (m->dx) {
      lanes slope = s * lanes_fma(gate, 1.0f - s, (lanes)(1.0f));
      ADD(dx, dy * LOAD(up) * slope);
    }
    if (m->dup) ADD(dup, dy * (gate * s));
  }
}
HEARTH_KERNEL(swiglu_backward_task)

void hearth_swiglu_backward(hearth_pool* pool, float* dgate, float* dup, const float* dy,
                            const float* gate, const float* up, size_t count) {
  map m = {.dx = dgate, .dup = dup, .dy = dy, .x = gate, .up = up, .count = count};
  hearth_pool_run(pool_for(pool, count), swiglu_backward_task, &m);
}

// sqrt(2 / pi), and GPT-2's cubic coefficient.
#define GELU_SCALE 0.7978845608f
#define GELU_CUBIC 0.044715f

/// tanh(sqrt(2/pi) · (x + 0.044715 x³)).
HEARTH_INLINE lanes gelu_inner_tanh(lanes x) {
  return lanes_tanh(GELU_SCALE * lanes_fma(GELU_CUBIC * (x * x), x, x));
}

HEARTH_INLINE void gelu_tanh_task_body(void* context, int index, int count) {
  const map* m = context;
  EACH_SIXTEEN(m) {
    lanes x = LOAD(x);
    lanes_store_first(m->y + i, 0.5f * x * (1.0f + gelu_inner_tanh(x)), rest);
  }
}
HEARTH_KERNEL(gelu_tanh_task)

void hearth_gelu_tanh(hearth_pool* pool, float* y, const float* x, size_t count) {
  map m = {.y = y, .x = x, .count = count};
  hearth_pool_run(pool_for(pool, count), gelu_tanh_task, &m);
}

//     y' = (1 + t)/2 + x/2 · (1 − t²) · u'      t = tanh(u)
HEARTH_INLINE void gelu_tanh_backward_task_body(void* context, int index, int count) {
  const map* m = context;
  EACH_SIXTEEN(m) {
    lanes x = LOAD(x), t = gelu_inner_tanh(x);
    lanes inner = GELU_SCALE * lanes_fma(3 * GELU_CUBIC * x, x, (lanes)(1.0f));
    lanes slope = lanes_fma(0.5f * x * inner, lanes_fma(-t, t, (lanes)(1.0f)), 0.5f * (1.0f + t));
    ADD(dx, LOAD(dy) * slope);
  }
}
HEARTH_KERNEL(gelu_tanh_backward_task)

void hearth_gelu_tanh_backward(hearth_pool* pool, float* dx, const float* dy, const float* x,
                               size_t count) {
  if (!dx) return;
  map m = {.dx = dx, .dy = dy, .x = x, .count = count};
  hearth_pool_run(pool_for(pool, count), gelu_tanh_backward_task, &m);
}

/// Phi(x) = (1 + erf(x / sqrt(2))) / 2.
HEARTH_INLINE lanes normal_distribution(lanes x) {
  return 0.5f * (1.0f + lanes_erf(x * 0.7071067812f));
}

HEARTH_INLINE void gelu_task_body(void* context, int index, int count) {
  const map* m = context;
  EACH_SIXTEEN(m) {
    lanes x = LOAD(x);
    lanes_store_first(m->y + i, x * normal_distribution(x), rest);
  }
}
HEARTH_KERNEL(gelu_task)

void hearth_gelu(hearth_pool* pool, float* y, const float* x, size_t count) {
  map m = {.y = y, .x = x, .count = count};
  hearth_pool_run(pool_for(pool, count), gelu_task, &m);
}

//     y' = Phi(x) + x · e^(−x²/2) / sqrt(2 pi)
HEARTH_INLINE void gelu_backward_task_body(void* context, int index, int count) {
  const map* m = context;
  EACH_SIXTEEN(m) {
    lanes x = LOAD(x);
    lanes density = 0.3989422804f * lanes_exp(-0.5f * x * x);
    ADD(dx, LOAD(dy) * lanes_fma(x, density, normal_distribution(x)));
  }
}
HEARTH_KERNEL(gelu_backward_task)

void hearth_gelu_backward(hearth_pool* pool, float* dx, const float* dy, const float* x,
                          size_t count) {
  if (!dx) return;
  map m = {.dx = dx, .dy = dy, .x = x, .count = count};
  hearth_pool_run(pool_for(pool, count), gelu_backward_task, &m);
}
