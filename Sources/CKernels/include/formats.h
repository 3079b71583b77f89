#ifndef HEARTH_FORMATS_H
#define HEARTH_FORMATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// One storage format: how its bytes are laid out, in GGUF and here.
///
/// Blocks may lie at any address. Any bytes are a valid block: at worst values are infinite or NaN.
/// Results do not depend on the instruction set.
typedef struct {
  uint32_t ggml_type;       ///< the type's number in a GGUF file
  const char* name;         ///< as in GGUF: "Q4_1"
  uint32_t block_elements;  ///< elements in a block
  uint32_t block_bytes;     ///< bytes in a block

  /// out[i] = value of element i. `count` is a multiple of `block_elements`, and may be 0.
  void (*dequantize)(float* out, const void* blocks, size_t count);

  /// The blocks whose values are nearest to `values`, by least squares as far as a search finds
  /// them. In block formats NaN becomes zero, and what is too large saturates, so values stay
  /// finite; f32, f16 and bf16 keep NaN and infinity, and the latter two round overflow to
  /// infinity. NULL for formats that Hearth only reads.
  void (*quantize)(void* blocks, const float* values, size_t count);

  /// Unpacks one 32-element group (group g covers elements 32g ..< 32g+32 of the row at `row`) into
  /// the affine form value = scale[s] * q[i] + minimum[s], s = i / 16: two 16-wide halves, equal
  /// when the format's sub-blocks are wider. q is 0...15 if `affine_bits` is 4, any byte if 8. NULL
  /// when not affine (f32, f16, bf16).
  ///
  ///     Q4_0        minimum = -8 scale       Q3_K            minimum = -4 scale
  ///     Q5_0        minimum = -16 scale      Q6_K            minimum = -32 scale
  ///     Q8_0        q = level + 128          IQ4_NL, IQ4_XS  q = looked-up level + 128
  ///                 minimum = -128 scale                     minimum = -128 scale
  ///     Q4_1, Q5_1  as stored                Q2_K Q4_K Q5_K  minimum = -(dmin * sub-block's minimum)
  ///
  /// With finite scales the result equals `dequantize`'s exactly (only a zero's sign may differ),
  /// fused or not: a scale has so few bits that its product with q is exact in f32, which leaves
  /// one rounding at most, the same one.
  void (*unpack_group)(uint8_t q[32], float scale[2], float minimum[2], const void* row, size_t g);
  uint32_t affine_bits;  ///< 4 or 8; 0 when not affine
  bool wide;             ///< both halves of every group share scale and minimum
} hearth_format;

/// The format with this GGUF number, or NULL.
const hearth_format* hearth_format_for(uint32_t ggml_type);

/// Every format in the order of their numbers, for tests and listings; NULL from the count on.
const hearth_format* hearth_format_at(size_t index);
size_t hearth_format_count(void);

#endif
