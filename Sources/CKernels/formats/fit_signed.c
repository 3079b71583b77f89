#include "fit.h"
#include "lanes.h"

// Blocks without a minimum: value = scale · level.

void hearth_fit_load(float* x, const float* values, int count) {
  for (int i = 0; i < count; i++) {
    float value = values[i];
    value = value == value ? value : 0;
    value = value > -0x1p30f ? value : -0x1p30f;
    x[i] = value < 0x1p30f ? value : 0x1p30f;
  }
}

/// The level nearest to each lane.
static inline lanes nearest(lanes v, const hearth_levels* levels) {
  if (!levels->codebook)
    return lanes_round(
        lanes_clamp(v, lanes_of((float)levels->low), lanes_of((float)levels->high)));
  lanes level = lanes_of((float)levels->low);
  for (int i = 0; i < 15; i++) {
    lane_masks above = v > lanes_of(levels->codebook->midpoints[i]);
    level += (lanes)(above & (lane_masks)lanes_of(levels->codebook->steps[i]));
  }
  return level;
}

/// What rounding a sub-block under one scale gives.
typedef struct {
  float value_level;  ///< Σ x·l
  float level_level;  ///< Σ l²
  float error;        ///< Σ (x − scale·l)²
} match;

static match match_levels(const float* x, int width, float scale, const hearth_levels* levels) {
  lanes inverse = lanes_of(inverse_or_zero(scale)), s = lanes_of(scale);
  lanes value_level = {0}, level_level = {0}, error = {0};
  for (int i = 0; i < width; i += HEARTH_LANES) {
    lanes v = lanes_load(x + i), level = nearest(v * inverse, levels), e = v - s * level;
    value_level += v * level;
    level_level += level * level;
    error += e * e;
  }
  return (match){lanes_sum(value_level), lanes_sum(level_level), lanes_sum(error)};
}

static void store_levels(const float* x, int width, float scale, const hearth_levels* levels,
                         uint8_t* q) {
  float inverse = inverse_or_zero(scale);
  for (int i = 0; i < width; i += HEARTH_LANES) {
    lanes v = lanes_load(x + i) * lanes_of(inverse);
    if (levels->codebook) {
      lane_masks index = {0};
      for (int k = 0; k < 15; k++) index -= v > lanes_of(levels->codebook->midpoints[k]);
      for (int k = 0; k < HEARTH_LANES; k++) q[i + k] = (uint8_t)index[k];
    } else {
      lanes level = nearest(v, levels);
      for (int k = 0; k < HEARTH_LANES; k++) q[i + k] = (uint8_t)((int)level[k] - levels->low);
    }
  }
}

/// The value of largest magnitude, with its sign.
static float peak_of(const float* x, int count) {
  float peak = 0;
  for (int i = 0; i < count; i++)
    if ((x[i] < 0 ? -x[i] : x[i]) > (peak < 0 ? -peak : peak)) peak = x[i];
  return peak;
}

/// The scale that fits a sub-block best, before any rounding of the scale itself.
static float best_scale(const float* x, int width, const hearth_levels* levels) {
  float peak = peak_of(x, width), best = 0, best_gain = 0;
  if (peak == 0) return 0;
  // The peak may meet the lowest level or the highest, be cut off a little or stay inside.
  for (int end = 0; end < 2; end++) {
    float target = (float)(end ? levels->high : levels->low);
    for (int step = 0; step < 20; step++) {
      float scale = peak / (target * (0.72f + 0.03f * (float)step));
      match m = match_levels(x, width, scale, levels);
      // With the least-squares scale Σxl / Σl² the error is Σx² − (Σxl)² / Σl².
      float gain = m.level_level > 0 ? m.value_level * (m.value_level / m.level_level) : 0;
      if (gain > best_gain) {
        best_gain = gain;
        best = m.value_level / m.level_level;
      }
    }
  }
  for (int round = 0; round < 3; round++) {
    match m = match_levels(x, width, best, levels);
    float gain = m.level_level > 0 ? m.value_level * (m.value_level / m.level_level) : 0;
    if (!(gain > best_gain)) break;
    best_gain = gain;
    best = m.value_level / m.level_level;
  }
  return best;
}

uint16_t hearth_fit_signed(const float values[32], const hearth_levels* levels, uint8_t q[32]) {
  float x[32];
  hearth_fit_load(x, values, 32);
  // Beside the best scale, its neighbours in f16, and the customary one that maps the peak to the
  // lowest level.
  uint16_t found = f16_saturated(best_scale(x, 32, levels));
  uint16_t candidates[4] = {f16_saturated(peak_of(x, 32) / (float)levels->low), found,
                            (uint16_t)(found + 1), (uint16_t)(found - 1)};
  uint16_t best = 0;
  float least = __builtin_inff();
  for (int i = 0; i < 4; i++) {
    float scale = hearth_f16_to_f32(candidates[i]);
    // A neighbour of zero or of the largest number is none.
    if (!(scale >= -HEARTH_F16_MAX && scale <= HEARTH_F16_MAX)) continue;
    float error = match_levels(x, 32, scale, levels).error;
    if (error < least) {
      least = error;
      best = candidates[i];
    }
  }
  store_levels(x, 32, hearth_f16_to_f32(best), levels, q);
  return best;
}

/// A super-block's choice: the scale d and each sub-block's integer.
typedef struct {
  uint16_t d;
  int8_t scales[16];
  float error;
} signed_super;

typedef struct {
  const float* x;
  const hearth_levels* levels;
  int width, scale_low, scale_high;
  float wish[16];  ///< the sub-blocks' best scales
} signed_problem;

/// The best integer scales under `d`: the wished one and `reach` neighbours on each side.
static signed_super assign_scales(const signed_problem* p, uint16_t d, int reach) {
  signed_super result = {.d = d};
  float step = hearth_f16_to_f32(d), inverse = inverse_or_zero(step);
  for (int s = 0; s < 256 / p->width; s++) {
    float wish = p->wish[s] * inverse, least = __builtin_inff();
    wish = wish > (float)p->scale_low ? wish : (float)p->scale_low;
    wish = wish < (float)p->scale_high ? wish : (float)p->scale_high;
    int centre = (int)(wish < 0 ? wish - 0.5f : wish + 0.5f);
    for (int scale = centre - reach; scale <= centre + reach; scale++) {
      if (scale < p->scale_low || scale > p->scale_high) continue;
      float error =
          match_levels(p->x + s * p->width, p->width, step * (float)scale, p->levels).error;
      if (error < least) {
        least = error;
        result.scales[s] = (int8_t)scale;
      }
    }
    result.error += least;
  }
  return result;
}

/// The d that fits best when scales and levels stay as they are: Σ x·(scale·l) / Σ (scale·l)².
static uint16_t refit(const signed_problem* p, const signed_super* given) {
  float value_level = 0, level_level = 0, step = hearth_f16_to_f32(given->d);
  for (int s = 0; s < 256 / p->width; s++) {
    float scale = (float)given->scales[s];
    match m = match_levels(p->x + s * p->width, p->width, step * scale, p->levels);
    value_level += scale * m.value_level;
    level_level += scale * scale * m.level_level;
  }
  return level_level > 0 ? f16_saturated(value_level / level_level) : given->d;
}

uint16_t hearth_fit_signed_super(const float values[256], const hearth_levels* levels, int width,
                                 int scale_low, int scale_high, int8_t* scales, uint8_t q[256]) {
  float x[256];
  hearth_fit_load(x, values, 256);
  signed_problem problem = {x, levels, width, scale_low, scale_high, {0}};
  for (int s = 0; s < 256 / width; s++) problem.wish[s] = best_scale(x + s * width, width, levels);

  // The largest scale takes the integer at either end, or one a little inside so that the others
  // fall better.
  float peak = peak_of(problem.wish, 256 / width);
  signed_super best = {.error = __builtin_inff()};
  for (int i = 0; i < 8; i++) {
    float target = i < 4 ? (float)(scale_low + i) : (float)(scale_high - (i - 4));
    signed_super trial = assign_scales(&problem, f16_saturated(peak / target), 0);
    if (trial.error < best.error) best = trial;
  }
  // Scales so small that f16 holds them coarsely may be rounded down: the next larger may be the
  // better one.
  uint16_t next = (uint16_t)(f16_saturated(peak / (float)scale_low) + 1);
  signed_super larger = assign_scales(&problem, next, 0);
  if (larger.error < best.error) best = larger;

  signed_super trial = assign_scales(&problem, best.d, 1);
  for (int round = 0; round < 3 && trial.error < best.error; round++) {
    best = trial;
    trial = assign_scales(&problem, refit(&problem, &best), 1);
  }
  for (int s = 0; s < 256 / width; s++) {
    scales[s] = best.scales[s];
    float scale = hearth_f16_to_f32(best.d) * (float)best.scales[s];
    store_levels(x + s * width, width, scale, levels, q + s * width);
  }
  return best.d;
}
