#ifndef HEARTH_FIT_H
#define HEARTH_FIT_H

#include <stdint.h>

// The search behind `quantize`: which scales, minimums and levels lose least.
//
// What is minimised is the plain sum of squared errors of a block, measured with the scales as the
// block will hold them (rounded to f16 or to a few bits). Each search has the same three steps: try
// a row of scales per sub-block, round the values to levels under each, and keep the scale whose
// least-squares fit is best; choose the super-block's scale from those of its sub-blocks; improve
// scales and levels in turn, each given the other (Lloyd's algorithm, as in k-means), as long as it
// helps.
//
// No weighting: weights pay only with activation statistics, which a format does not know.
//
// Values of any bits are safe. NaN counts as zero; magnitudes above 2^30 (no format here reaches so
// far), infinity among them, count as 2^30; a scale saturates at the largest finite f16.

#define HEARTH_F16_MAX 65504.0f

/// Where to change from one of 16 uneven levels to the next.
typedef struct {
  float midpoints[15];  ///< between level i and level i + 1
  float steps[15];      ///< level i + 1 − level i
} hearth_codebook;

/// The values q may stand for under a scale of 1: every integer of low...high, or a codebook from
/// low to high.
typedef struct {
  int low, high;
  const hearth_codebook* codebook;  ///< NULL for the integers
} hearth_levels;

/// Copies `count` values, made finite and at most 2^30 in magnitude.
void hearth_fit_load(float* x, const float* values, int count);

/// values[i] ≈ d · level(q[i]) for 32 values. Returns d as f16 (either sign: levels are not
/// symmetric); q counts levels from the lowest.
uint16_t hearth_fit_signed(const float values[32], const hearth_levels* levels, uint8_t q[32]);

/// values[i] ≈ d · scales[s] · level(q[i]) for 256 values in sub-blocks s of `width` (16 or 32),
/// with integer scales in scale_low...scale_high. Returns d as f16.
uint16_t hearth_fit_signed_super(const float values[256], const hearth_levels* levels, int width,
                                 int scale_low, int scale_high, int8_t* scales, uint8_t q[256]);

/// values[i] ≈ d · q[i] + m for 32 values, q in 0...q_high.
void hearth_fit_affine(const float values[32], int q_high, uint16_t* d, uint16_t* m, uint8_t q[32]);

/// values[i] ≈ d · scales[s] · q[i] − dmin · minimums[s] for 256 values in sub-blocks s of `width`
/// (16 or 32), with q in 0...q_high, scales and minimums in 0...scale_high, d and dmin not
/// negative.
void hearth_fit_affine_super(const float values[256], int width, int q_high, int scale_high,
                             uint16_t* d, uint16_t* dmin, uint8_t* scales, uint8_t* minimums,
                             uint8_t q[256]);

#endif
