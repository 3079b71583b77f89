#include "fit.h"

#include <stdbool.h>

#include "lanes.h"

// Blocks with a minimum: value = scale · q + offset.

/// What rounding a sub-block under one scale and offset gives.
typedef struct {
  float q, q_q, value_q;  ///< Σ q, Σ q², Σ x·q
  float error;            ///< Σ (x − scale·q − offset)²
} match;

static inline lanes nearest(lanes x, float inverse, float offset, int q_high) {
  lanes v = (x - lanes_of(offset)) * lanes_of(inverse);
  return lanes_round(lanes_clamp(v, lanes_of(0), lanes_of((float)q_high)));
}

static match match_levels(const float* x, int width, float scale, float offset, int q_high) {
  float inverse = inverse_or_zero(scale);
  lanes sum_q = {0}, q_q = {0}, value_q = {0}, error = {0};
  for (int i = 0; i < width; i += HEARTH_LANES) {
    lanes v = lanes_load(x + i), q = nearest(v, inverse, offset, q_high);
    lanes e = v - (lanes_of(scale) * q + lanes_of(offset));
    sum_q += q;
    q_q += q * q;
    value_q += v * q;
    error += e * e;
  }
  return (match){lanes_sum(sum_q), lanes_sum(q_q), lanes_sum(value_q), lanes_sum(error)};
}

static void store_levels(const float* x, int width, float scale, float offset, int q_high,
                         uint8_t* levels) {
  float inverse = inverse_or_zero(scale);
  for (int i = 0; i < width; i += HEARTH_LANES) {
    lanes q = nearest(lanes_load(x + i), inverse, offset, q_high);
    for (int k = 0; k < HEARTH_LANES; k++) levels[i + k] = (uint8_t)(int)q[k];
  }
}

/// A line through a sub-block's levels.
typedef struct {
  float scale, offset, error;
} line;

/// The least-squares line through the levels that `m` counted, scale not negative; with `below`,
/// offset not positive.
static line fit_line(match m, float sum, float squares, int width, bool below) {
  float n = (float)width, determinant = n * m.q_q - m.q * m.q;
  line result = {0};
  if (determinant > 0) {
    result.scale = (n * m.value_q - m.q * sum) / determinant;
    result.offset = (m.q_q * sum - m.q * m.value_q) / determinant;
  } else {
    result.offset = sum / n;
  }
  if ((below && result.offset > 0) || !(result.scale >= 0)) {
    result.offset = 0;
    result.scale = m.q_q > 0 && m.value_q > 0 ? m.value_q / m.q_q : 0;
  }
  // Σ(x − s·q − o)², expanded. Only ranks candidates: what is kept is measured exactly.
  result.error = squares - 2 * (result.scale * m.value_q + result.offset * sum) +
                 result.scale * result.scale * m.q_q + 2 * result.scale * result.offset * m.q +
                 n * result.offset * result.offset;
  return result;
}

/// The scale and offset that fit a sub-block best, before any rounding of theirs.
static line best_line(const float* x, int width, int q_high, bool below) {
  float low = x[0], high = x[0];
  for (int i = 0; i < width; i++) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  if (below && low > 0) low = 0;
  float range = high - low;
  if (!(range > 0)) return (line){.offset = low};

  // Sums are of distances from `low`, lest a large common offset drown them.
  float distances[32], sum = 0, squares = 0;
  for (int i = 0; i < width; i++) {
    distances[i] = x[i] - low;
    sum += distances[i];
    squares += distances[i] * distances[i];
  }
  // Both ends may be cut off a little: by up to one level and a half in all.
  line best = {.scale = range / (float)q_high, .error = __builtin_inff()};
  for (int cut = 0; cut < 3; cut++)
    for (int step = 0; step < 9; step++) {
      float scale = range / ((float)q_high + 0.25f * (float)step - 0.5f);
      float offset = 0.3f * (float)cut * scale;
      match m = match_levels(distances, width, scale, offset, q_high);
      line trial = fit_line(m, sum, squares, width, below && low == 0);
      if (below && trial.offset + low > 0) continue;
      if (trial.error < best.error) best = trial;
    }
  best.error = match_levels(distances, width, best.scale, best.offset, q_high).error;
  for (int round = 0; round < 4; round++) {
    match m = match_levels(distances, width, best.scale, best.offset, q_high);
    line trial = fit_line(m, sum, squares, width, below && low == 0);
    if (below && trial.offset + low > 0) break;
    trial.error = match_levels(distances, width, trial.scale, trial.offset, q_high).error;
    if (!(trial.error < best.error)) break;
    best = trial;
  }
  best.offset += low;
  return best;
}

void hearth_fit_affine(const float values[32], int q_high, uint16_t* d, uint16_t* m,
                       uint8_t q[32]) {
  float x[32];
  hearth_fit_load(x, values, 32);
  float low = x[0], high = x[0];
  for (int i = 0; i < 32; i++) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  line found = best_line(x, 32, q_high, false);
  // Beside the best line and its neighbours in f16, the customary one from the lowest value to the
  // highest.
  uint16_t scale = f16_saturated(found.scale), offset = f16_saturated(found.offset);
  uint16_t customary = f16_saturated((high - low) / (float)q_high), lowest = f16_saturated(low);
  uint16_t candidates[6][2] = {{customary, lowest},
                               {scale, offset},
                               {(uint16_t)(scale + 1), offset},
                               {(uint16_t)(scale - 1), offset},
                               {scale, (uint16_t)(offset + 1)},
                               {scale, (uint16_t)(offset - 1)}};
  float least = __builtin_inff();
  *d = customary;
  *m = lowest;
  for (int i = 0; i < 6; i++) {
    float s = hearth_f16_to_f32(candidates[i][0]), o = hearth_f16_to_f32(candidates[i][1]);
    // A neighbour of zero or of the largest number is none.
    if (!(s >= 0 && s <= HEARTH_F16_MAX && o >= -HEARTH_F16_MAX && o <= HEARTH_F16_MAX)) continue;
    float error = match_levels(x, 32, s, o, q_high).error;
    if (error < least) {
      least = error;
      *d = candidates[i][0];
      *m = candidates[i][1];
    }
  }
  store_levels(x, 32, hearth_f16_to_f32(*d), hearth_f16_to_f32(*m), q_high, q);
}

/// A super-block's choice: the two scales and each sub-block's two integers.
typedef struct {
  uint16_t d, dmin;
  uint8_t scales[16], minimums[16];
  float error;
} affine_super;

typedef struct {
  const float* x;
  int width, q_high, scale_high;
  line wish[16];  ///< the sub-blocks' best lines
} affine_problem;

/// x / step to the nearest integer of 0...high.
static int to_integer(float x, float step, int high) {
  float v = x * inverse_or_zero(step);
  v = v > 0 ? v : 0;
  v = v < (float)high ? v : (float)high;
  return (int)(v + 0.5f);
}

/// The best integers under `d` and `dmin`: the wished ones and `reach` neighbours on each side.
static affine_super assign_integers(const affine_problem* p, uint16_t d, uint16_t dmin, int reach) {
  affine_super result = {.d = d, .dmin = dmin};
  float step = hearth_f16_to_f32(d), minimum_step = hearth_f16_to_f32(dmin);
  for (int s = 0; s < 256 / p->width; s++) {
    int scale_centre = to_integer(p->wish[s].scale, step, p->scale_high);
    int minimum_centre = to_integer(-p->wish[s].offset, minimum_step, p->scale_high);
    float least = __builtin_inff();
    for (int scale = scale_centre - reach; scale <= scale_centre + reach; scale++)
      for (int minimum = minimum_centre - reach; minimum <= minimum_centre + reach; minimum++) {
        if (scale < 0 || scale > p->scale_high || minimum < 0 || minimum > p->scale_high) continue;
        float error = match_levels(p->x + s * p->width, p->width, step * (float)scale,
                                   -(minimum_step * (float)minimum), p->q_high)
                          .error;
        if (error < least) {
          least = error;
          result.scales[s] = (uint8_t)scale;
          result.minimums[s] = (uint8_t)minimum;
        }
      }
    result.error += least;
  }
  return result;
}

/// The d and dmin that fit best when the integers and levels stay as they are. With A = scale·q and
/// B = −minimum, least squares of x ≈ d·A + dmin·B:
///
///     d ΣA² + dmin ΣAB = ΣxA      d ΣAB + dmin ΣB² = ΣxB
static bool refit(const affine_problem* p, const affine_super* given, uint16_t* d, uint16_t* dmin) {
  float step = hearth_f16_to_f32(given->d), minimum_step = hearth_f16_to_f32(given->dmin);
  double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
  for (int s = 0; s < 256 / p->width; s++) {
    const float* x = p->x + s * p->width;
    float scale = (float)given->scales[s], minimum = (float)given->minimums[s];
    match m = match_levels(x, p->width, step * scale, -(minimum_step * minimum), p->q_high);
    double sum = 0;
    for (int i = 0; i < p->width; i++) sum += x[i];
    aa += scale * scale * m.q_q;
    ab -= scale * minimum * m.q;
    bb += minimum * minimum * (float)p->width;
    xa += scale * m.value_q;
    xb -= minimum * sum;
  }
  double determinant = aa * bb - ab * ab;
  double best_d, best_dmin;
  if (determinant > 0) {
    best_d = (xa * bb - xb * ab) / determinant;
    best_dmin = (aa * xb - ab * xa) / determinant;
  } else if (aa > 0) {
    best_d = xa / aa;
    best_dmin = minimum_step;
  } else {
    return false;
  }
  if (!(best_d >= 0 && best_d <= HEARTH_F16_MAX && best_dmin >= 0 && best_dmin <= HEARTH_F16_MAX))
    return false;
  *d = f16_saturated((float)best_d);
  *dmin = f16_saturated((float)best_dmin);
  return true;
}

void hearth_fit_affine_super(const float values[256], int width, int q_high, int scale_high,
                             uint16_t* d, uint16_t* dmin, uint8_t* scales, uint8_t* minimums,
                             uint8_t q[256]) {
  float x[256], largest_scale = 0, largest_minimum = 0;
  hearth_fit_load(x, values, 256);
  affine_problem problem = {x, width, q_high, scale_high, {{0}}};
  for (int s = 0; s < 256 / width; s++) {
    line wish = best_line(x + s * width, width, q_high, true);
    problem.wish[s] = wish;
    largest_scale = wish.scale > largest_scale ? wish.scale : largest_scale;
    largest_minimum = -wish.offset > largest_minimum ? -wish.offset : largest_minimum;
  }
  // The largest scale and minimum take the highest integer, or one a little below so that the
  // others fall better; in the last turn the next larger f16, in case these are so small that f16
  // rounded them down a lot.
  affine_super best = {.error = __builtin_inff()};
  for (int i = 0; i < 4; i++)
    for (int k = 0; k < 4; k++) {
      uint16_t step = f16_saturated(largest_scale / (float)(scale_high - i % 3));
      uint16_t minimum_step = f16_saturated(largest_minimum / (float)(scale_high - k % 3));
      step = (uint16_t)(step + (i == 3 && step < 0x7bff));
      minimum_step = (uint16_t)(minimum_step + (k == 3 && minimum_step < 0x7bff));
      affine_super trial = assign_integers(&problem, step, minimum_step, 0);
      if (trial.error < best.error) best = trial;
    }
  affine_super trial = assign_integers(&problem, best.d, best.dmin, 1);
  for (int round = 0; round < 3 && trial.error < best.error; round++) {
    best = trial;
    uint16_t step, minimum_step;
    if (!refit(&problem, &best, &step, &minimum_step)) break;
    trial = assign_integers(&problem, step, minimum_step, 1);
  }
  *d = best.d;
  *dmin = best.dmin;
  for (int s = 0; s < 256 / width; s++) {
    scales[s] = best.scales[s];
    minimums[s] = best.minimums[s];
    store_levels(x + s * width, width, hearth_f16_to_f32(best.d) * (float)best.scales[s],
                 -(hearth_f16_to_f32(best.dmin) * (float)best.minimums[s]), q_high, q + s * width);
  }
}
