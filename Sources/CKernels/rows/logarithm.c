#include "logarithm.h"

#include <math.h>

// x = m · 2^e with m in [√½, √2);  s = (m - 1) / (m + 1);  ln m = 2·(s + s³/3 + s⁵/5 + …). |s| <=
// 0.172, so the terms through s²³ reach the last bit.
double hearth_logarithm(double x) {
  if (!(x > 0)) return x == 0 ? -INFINITY : NAN;
  if (isinf(x)) return x;
  int exponent;
  double m = frexp(x, &exponent);
  if (m < 0x1.6a09e667f3bcdp-1) {
    m *= 2;
    exponent -= 1;
  }
  double s = (m - 1) / (m + 1), square = s * s, series = 0;
  for (int odd = 23; odd >= 3; odd -= 2) series = (series + 1.0 / odd) * square;
  // ln 2 in two parts: the first times any exponent is exact.
  return exponent * 0x1.62e42feep-1 + (2 * s + (2 * s * series + exponent * 0x1.a39ef35793c76p-33));
}
