// Every storage format on random bytes, strange values and exactly sized buffers, to be built with
// the address and undefined-behaviour sanitizers: `make sanitize`. Silence and exit status 0 mean
// that no path read or wrote out of bounds, shifted too far, overflowed, or converted a number that
// does not fit.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../Sources/CKernels/include/formats.h"
#include "../../Sources/CKernels/include/isa.h"

static uint64_t state = 1;

/// SplitMix64 (Steele, Lea and Flood 2014).
static uint64_t next(void) {
  uint64_t z = state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/// A value of a kind: any bits, or ordinary ones of many magnitudes.
static float value(int kind) {
  uint32_t bits = (uint32_t)next();
  float result;
  memcpy(&result, &bits, sizeof result);
  if (kind == 0) return result;
  return (float)(int32_t)bits * (kind == 1 ? 0x1p-36f : kind == 2 ? 0x1p-56f : 0x1p-149f);
}

static void exercise(const hearth_format* format, size_t blocks) {
  size_t count = blocks * format->block_elements, bytes = blocks * format->block_bytes;
  // Buffers of exactly the right size, so that one byte too far is seen; blocks end, and may start,
  // at any address.
  size_t shift = next() % 4;
  uint8_t* raw = malloc(bytes + shift + 1);
  float* values = malloc(count ? count * sizeof(float) : 1);
  if (!raw || !values) exit(2);
  uint8_t* data = raw + shift + 1;
  for (int kind = 0; kind < 4; kind++) {
    for (size_t i = 0; i < bytes; i++) data[i] = (uint8_t)next();
    format->dequantize(values, data, count);
    for (size_t g = 0; format->unpack_group && g < count / 32; g++) {
      uint8_t q[32];
      float scale[2], minimum[2];
      format->unpack_group(q, scale, minimum, data, g);
    }
    for (size_t i = 0; i < count; i++) values[i] = value(kind);
    format->quantize(data, values, count);
    format->dequantize(values, data, count);
  }
  free(raw);
  free(values);
}

int main(void) {
  for (int isa = HEARTH_ISA_SCALAR; isa <= (int)hearth_isa_best(); isa++) {
    hearth_isa_force((hearth_isa)isa);
    for (size_t i = 0; i < hearth_format_count(); i++)
      for (size_t blocks = 0; blocks < 40; blocks++) exercise(hearth_format_at(i), blocks);
  }
  return 0;
}
