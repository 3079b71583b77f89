#ifndef HEARTH_CHECK_H
#define HEARTH_CHECK_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../Sources/CKernels/include/CKernels.h"

// What the checks of kernels share. A check computes the same thing under every instruction set that this CPU has and with
// several numbers of threads, and expects the same bytes. One line a check goes to the standard output, a digest of those
// bytes, so that runs on different processors can be compared; complaints go to the standard error.

/// What a computation gave: a growing row of bytes.
typedef struct {
  uint8_t* bytes;
  size_t count, capacity;
} result;

void put_bytes(result* out, const void* bytes, size_t count);
/// Which NaN it is differs between processors and is nobody's promise, so all become one.
void put_floats(result* out, const float* values, size_t count);

/// Computes something of `example` and puts it in `out`, the same whatever the pool is.
typedef void (*computation)(result* out, hearth_pool* pool, const void* example);

/// Computes under every instruction set, the plain twins first, without a pool and with pools of 1, 2 and 3 threads.
void everywhere(computation compute, const void* example, const char* name, ...);

/// Counts and prints a complaint unless `condition`.
bool expect(bool condition, const char* message, ...);
/// Complaints so far.
int complaints(void);

/// Memory that lasts until `forget`; never NULL.
void* keep(size_t bytes);
void forget(void);

/// Repeatable noise in -1 ..< 1.
typedef struct {
  uint64_t state;
} noise;
noise noise_of(uint64_t seed);
float next_noise(noise* source);
float* noise_array(noise* source, size_t count, float scale);

/// Repeatable random numbers (SplitMix64, Steele, Lea and Flood 2014), those of Tests/KernelTests.
typedef struct {
  uint64_t state;
} random_bits;
uint64_t next_bits(random_bits* source);
/// Nearly normal with a standard deviation of about 0.036.
float next_weight(random_bits* source);

static inline uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static inline float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

bool same_bits(const float* x, const float* y, size_t count);

// The checks. `quick` leaves out what takes long.
void check_formats(const char* fixtures, bool quick);
void check_affine(bool quick);
void check_fused(bool quick);
void check_products(bool quick);
void check_attention(bool quick);
void check_rows(bool quick);
void check_threads(bool quick);

#endif
