#ifndef HEARTH_ROWS_LOGARITHM_H
#define HEARTH_ROWS_LOGARITHM_H

/// ln x in double precision by additions, products and one division only, so that it is the same
/// everywhere (the C library's depends on its version and on the CPU). Within 2 ulp; -inf for 0,
/// NaN below it.
double hearth_logarithm(double x);

#endif
