#ifndef HEARTH_FORMATS_H
#define HEARTH_FORMATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// One storage format: how its bytes are laid out, in GGUF and here.
typedef struct {
  uint32_t ggml_type;       ///< the type's number in a GGUF file
  const char* name;         ///< as in GGUF: "Q4_1"
  uint32_t block_elements;  ///< elements in a block
  uint32_t block_bytes;     ///< bytes in a block
  /// out[i] = value of element i. `count` is a multiple of `block_elements`.
  void (*dequantize)(float* out, const void* blocks, size_t count);
  /// The nearest blocks to `values`, or NULL for formats that Hearth only reads.
  void (*quantize)(void* blocks, const float* values, size_t count);
  /// Unpacks one 32-element group (group g covers elements 32g ..< 32g+32 of the row at `row`) into
  /// the affine form value = scale[s] * q[i] + minimum[s], s = i / 16: two 16-wide halves, equal when the format's
  /// blocks are wider. q is 0...15 if `affine_bits` is 4, any byte if 8. NULL when not affine (f32, f16, bf16).
  /// IQ4_NL and IQ4_XS give q as the looked-up int8 + 128.
  void (*unpack_group)(uint8_t q[32], float scale[2], float minimum[2], const void* row, size_t g);
  uint32_t affine_bits;  ///< 4 or 8; 0 when not affine
  bool wide;             ///< both halves of every group share scale and minimum
} hearth_format;

/// The format with this GGUF number, or NULL.
const hearth_format* hearth_format_for(uint32_t ggml_type);

/// Every format, for tests and listings.
const hearth_format* hearth_format_at(size_t index);
size_t hearth_format_count(void);

#endif
