#ifndef HEARTH_ATTENTION_HALVES_H
#define HEARTH_ATTENTION_HALVES_H

#include <stddef.h>
#include <stdint.h>

/// The float of each half-precision number, exactly.
void hearth_widen_halves(float* out, const uint16_t* in, size_t count);

/// The nearest half-precision number, ties to even. What is larger than 65504 becomes 65504,
/// infinity included: a saturated key or value spoils one token's attention less than an infinity
/// does. NaN stays NaN.
void hearth_narrow_to_halves(uint16_t* out, const float* in, size_t count);

#endif
