#ifndef HEARTH_FORMAT_BLOCK_H
#define HEARTH_FORMAT_BLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../include/formats.h"
#include "../include/isa.h"
#include "half.h"

// What the format files share.
//
// Blocks lie at any address of a mapped file, so their structs are packed: alignment 1, read
// through plain member access. Multi-byte fields are little-endian, as GGUF is.

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF blocks are read in place");

#define HEARTH_PACKED __attribute__((packed))

/// A loop that is compiled into each of its callers, for the instruction set of that caller.
#define HEARTH_BODY static inline __attribute__((always_inline))

/// Before a loop over the parts of a block: unrolled, their bit positions become constants.
#define HEARTH_UNROLL _Pragma("clang loop unroll(full)")

/// Before the loop over blocks: vectors run along a block. Left alone the compiler runs them across
/// blocks, gathering every byte by itself.
#define HEARTH_BLOCK_BY_BLOCK _Pragma("clang loop vectorize(disable)")

#if defined(__x86_64__)
#define HEARTH_AVX2 __attribute__((target("avx2,fma,f16c")))

/// Defines `dequantize` from `body`: the plain twin, the same source compiled for AVX2, and the
/// choice. The two agree bit for bit: contraction is off, so the compiler may widen the loop and
/// nothing else.
#define HEARTH_DEQUANTIZE(body)                                                            \
  static void dequantize_plain(float* out, const void* blocks, size_t count) {             \
    body(out, blocks, count);                                                              \
  }                                                                                        \
  HEARTH_AVX2 static void dequantize_avx2(float* out, const void* blocks, size_t count) {  \
    body(out, blocks, count);                                                              \
  }                                                                                        \
  static void dequantize(float* out, const void* blocks, size_t count) {                   \
    if (hearth_isa_current() >= HEARTH_ISA_AVX2)                                           \
      dequantize_avx2(out, blocks, count);                                                 \
    else                                                                                   \
      dequantize_plain(out, blocks, count);                                                \
  }
#else
#define HEARTH_DEQUANTIZE(body)                                                            \
  static void dequantize(float* out, const void* blocks, size_t count) { body(out, blocks, count); }
#endif

/// Elements in the blocks of the K-quants and of IQ4_XS.
#define HEARTH_SUPER 256

extern const hearth_format hearth_format_f32, hearth_format_f16, hearth_format_bf16;
extern const hearth_format hearth_format_q4_0, hearth_format_q4_1, hearth_format_q5_0,
    hearth_format_q5_1, hearth_format_q8_0;
extern const hearth_format hearth_format_q2_k, hearth_format_q3_k, hearth_format_q4_k,
    hearth_format_q5_k, hearth_format_q6_k;
extern const hearth_format hearth_format_iq4_nl, hearth_format_iq4_xs;

#endif
