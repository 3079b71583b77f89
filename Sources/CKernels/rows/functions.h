#ifndef HEARTH_ROWS_FUNCTIONS_H
#define HEARTH_ROWS_FUNCTIONS_H

#include "lanes.h"

// exp, tanh, sigmoid and erf on sixteen lanes: polynomials found by weighted least squares
// iterated towards the smallest largest error, evaluated by fused multiply-adds in Horner's
// order. Largest error over the whole range: exp 1.02 ulp, tanh 1.31, erf 1.17.

/// e^x. +inf above 88.73, 0 below -103.97, subnormal results rounded once; NaN stays NaN.
///
///     x = n·ln 2 + r,  |r| <= ln 2 / 2      e^x = 2^n · (1 + r + r²·Q(r))
HEARTH_INLINE lanes lanes_exp(lanes x) {
  x = x > 89.0f ? (lanes)(89.0f) : x;
  x = x < -104.0f ? (lanes)(-104.0f) : x;
  // Adding 1.5·2^23 rounds to a whole number, which then sits in the low bits.
  const lanes round = 0x1.8p23f;
  lanes rounded = lanes_fma(x, 0x1.715476p0f, round);
  lanes n = rounded - round;
  // ln 2 in two parts; the first has so few bits that its product with n is exact.
  lanes r = lanes_fma(n, -0x1.62e4p-1f, x);
  r = lanes_fma(n, -0x1.7f7d1cp-20f, r);
  lanes q = 1.395060215e-03f;
  q = lanes_fma(q, r, 8.368953131e-03f);
  q = lanes_fma(q, r, 4.166620597e-02f);
  q = lanes_fma(q, r, 1.666651815e-01f);
  q = lanes_fma(q, r, 0.5f);
  lanes p = lanes_fma(q, r * r, r) + 1.0f;
  // 2^n in two factors, for neither 2^128 nor 2^-150 is a float.
  integer_lanes bits, magic;
  memcpy(&bits, &rounded, sizeof bits);
  memcpy(&magic, &round, sizeof magic);
  integer_lanes exponent = bits - magic;
  integer_lanes first = exponent >> 1;
  integer_lanes first_bits = (first + 127) << 23, second_bits = (exponent - first + 127) << 23;
  lanes first_power, second_power;
  memcpy(&first_power, &first_bits, sizeof first_power);
  memcpy(&second_power, &second_bits, sizeof second_power);
  return p * first_power * second_power;
}

/// 1 / (1 + e^-x).
HEARTH_INLINE lanes lanes_sigmoid(lanes x) { return 1.0f / (1.0f + lanes_exp(-x)); }

HEARTH_INLINE lanes lanes_absolute(lanes x) { return __builtin_elementwise_abs(x); }

/// tanh x: x + x³·P(x²) below 0.625, beyond it 1 - 2 / (e^2x + 1) with the sign of x.
HEARTH_INLINE lanes lanes_tanh(lanes x) {
  lanes square = x * x;
  lanes p = -5.603913683e-03f;
  p = lanes_fma(p, square, 2.055171877e-02f);
  p = lanes_fma(p, square, -5.371410772e-02f);
  p = lanes_fma(p, square, 1.333115250e-01f);
  p = lanes_fma(p, square, -3.333327174e-01f);
  lanes near = lanes_fma(p * square, x, x);
  lanes magnitude = lanes_absolute(x);
  lanes far = 1.0f - 2.0f / (lanes_exp(magnitude + magnitude) + 1.0f);
  far = x < 0.0f ? -far : far;
  return magnitude < 0.625f ? near : far;
}

/// erf x: x + x·P(x²) below 1, beyond it 1 - e^(R(x) - x²) with the sign of x.
HEARTH_INLINE lanes lanes_erf(lanes x) {
  lanes square = x * x;
  lanes p = 7.889122935e-05f;
  p = lanes_fma(p, square, -8.020842215e-04f);
  p = lanes_fma(p, square, 5.189535674e-03f);
  p = lanes_fma(p, square, -2.685444430e-02f);
  p = lanes_fma(p, square, 1.128360033e-01f);
  p = lanes_fma(p, square, -3.761262596e-01f);
  p = lanes_fma(p, square, 1.283791661e-01f);
  lanes near = lanes_fma(p, x, x);
  lanes magnitude = lanes_absolute(x);
  // From 4 on, erf is 1 to the last bit.
  lanes t = magnitude > 4.0f ? (lanes)(4.0f) : magnitude;
  lanes q = 2.512920219e-07f;
  q = lanes_fma(q, t, -2.531432256e-05f);
  q = lanes_fma(q, t, 4.637851089e-04f);
  q = lanes_fma(q, t, -4.282373004e-03f);
  q = lanes_fma(q, t, 2.537353523e-02f);
  q = lanes_fma(q, t, -1.086389720e-01f);
  q = lanes_fma(q, t, 3.669603765e-01f);
  q = lanes_fma(q, t, -1.129661202e+00f);
  q = lanes_fma(q, t, 2.043581189e-04f);
  lanes far = 1.0f - lanes_exp(lanes_fma(-t, t, q));
  far = x < 0.0f ? -far : far;
  return magnitude < 1.0f ? near : far;
}

#endif
