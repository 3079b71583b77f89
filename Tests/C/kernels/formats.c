#include <math.h>

#include "check.h"

/// A whole file in kept memory; NULL and a complaint when it cannot be read.
static uint8_t* read_file(const char* folder, const char* name, size_t* count) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE* file = fopen(path, "rb");
  if (!expect(file != NULL, "%s cannot be read", path)) return NULL;
  enum { MOST = 1 << 20 };
  uint8_t* bytes = keep(MOST);
  *count = fread(bytes, 1, MOST, file);
  fclose(file);
  return bytes;
}

/// The blocks' values; blocks are read at an odd address, as a mapped file may have them.
static float* dequantized(const hearth_format* format, const uint8_t* blocks, size_t bytes, size_t* count) {
  uint8_t* shifted = keep(bytes + 1);
  memcpy(shifted + 1, blocks, bytes);
  *count = bytes / format->block_bytes * format->block_elements;
  float* values = keep(*count * sizeof *values);
  format->dequantize(values, shifted + 1, *count);
  return values;
}

/// The values' blocks, written at an odd address; what surrounds them must stay.
static uint8_t* quantized(const hearth_format* format, const float* values, size_t count, size_t* bytes) {
  *bytes = count / format->block_elements * format->block_bytes;
  uint8_t* blocks = keep(*bytes + 2);
  blocks[0] = blocks[*bytes + 1] = 0xa5;
  format->quantize(blocks + 1, values, count);
  expect(blocks[0] == 0xa5 && blocks[*bytes + 1] == 0xa5, "%s wrote beyond its blocks", format->name);
  return blocks + 1;
}

static float* weights(uint64_t seed, size_t count) {
  random_bits random = {seed};
  float* values = keep(count * sizeof *values);
  for (size_t i = 0; i < count; i++) values[i] = next_weight(&random);
  return values;
}

static uint8_t* random_bytes(uint64_t seed, size_t count) {
  random_bits random = {seed};
  uint8_t* bytes = keep(count);
  for (size_t i = 0; i < count; i++) bytes[i] = (uint8_t)next_bits(&random);
  return bytes;
}

// What the gguf package and llama.cpp computed.

typedef struct {
  const hearth_format* format;
  const uint8_t* file;
  size_t bytes;
} golden;

static void dequantize_golden(result* out, hearth_pool* pool, const void* example) {
  (void)pool;
  const golden* g = example;
  size_t blocks = (size_t)g->file[0] | (size_t)g->file[1] << 8, size = blocks * g->format->block_bytes, count;
  const float* values = dequantized(g->format, g->file + 4, size, &count);
  if (!expect(g->bytes == 4 + size + 4 * count, "the fixture of %s has another size", g->format->name)) return;
  for (size_t i = 0; i < count; i++) {
    float expected;
    memcpy(&expected, g->file + 4 + size + 4 * i, sizeof expected);
    if (!expect(bits_of(values[i]) == bits_of(expected) || (values[i] != values[i] && expected != expected),
                "%s: element %zu is not what other programs have", g->format->name, i))
      break;
  }
  put_floats(out, values, count);
}

static void check_goldens(const char* fixtures) {
  for (size_t f = 0; f < hearth_format_count(); f++) {
    golden g = {.format = hearth_format_at(f)};
    if (g.format->ggml_type == 0) continue;
    char name[64];
    snprintf(name, sizeof name, "dequantize-%s.bin", g.format->name);
    g.file = read_file(fixtures, name, &g.bytes);
    if (g.file != NULL) everywhere(dequantize_golden, &g, "format %s, fixture", g.format->name);
    forget();
  }
  for (uint32_t i = 0; i < 3; i++) {
    const hearth_format* format = hearth_format_for((const uint32_t[]){8, 1, 30}[i]);
    size_t input, expected, bytes;
    char name[64];
    snprintf(name, sizeof name, "quantize-%s.bin", format->name);
    const uint8_t *values = read_file(fixtures, "quantize-input.bin", &input), *blocks = read_file(fixtures, name, &expected);
    if (values == NULL || blocks == NULL) continue;
    const uint8_t* ours = quantized(format, (const float*)(const void*)values, input / 4, &bytes);
    expect(bytes == expected && memcmp(ours, blocks, bytes) == 0, "%s: blocks are not those of other programs", format->name);
    forget();
  }
}

// The same bits everywhere.

static void both_ways(result* out, hearth_pool* pool, const void* example) {
  (void)pool;
  const hearth_format* format = example;
  size_t elements = format->block_elements, some = 1027 / elements > 4 ? 1027 / elements : 4, count, bytes;
  size_t size = some * format->block_bytes;
  const float* values = dequantized(format, random_bytes(11, size), size, &count);
  // Which of two NaNs an addition keeps is the compiler's choice; conversions keep what they have.
  if (format->affine_bits > 0)
    put_floats(out, values, count);
  else
    put_bytes(out, values, count * sizeof *values);
  count = 1031 / elements * elements;
  const uint8_t* blocks = quantized(format, weights(11, count), count, &bytes);
  put_bytes(out, blocks, bytes);
}

/// A group in affine form is exactly its values, whether the sum is fused or not.
static void check_groups(const hearth_format* format) {
  size_t bytes = 40 * format->block_bytes, count;
  const uint8_t* blocks = random_bytes(13, bytes);
  const float* values = dequantized(format, blocks, bytes, &count);
  for (size_t g = 0; g < count / 32; g++) {
    uint8_t q[32];
    float scale[2], minimum[2];
    format->unpack_group(q, scale, minimum, blocks, g);
    for (size_t i = 0; i < 32; i++) {
      float s = scale[i / 16], m = minimum[i / 16], value = values[32 * g + i];
      if (!isfinite(s) || !isfinite(m)) continue;
      float product = s * (float)q[i];
      bool same = product + m == value && fmaf(s, (float)q[i], m) == value && (format->affine_bits == 8 || q[i] < 16);
      if (!expect(same, "%s: group %zu, element %zu", format->name, g, i)) return;
    }
  }
}

/// No input makes blocks that are infinite or NaN.
static void strange_values(result* out, hearth_pool* pool, const void* example) {
  (void)pool;
  const hearth_format* format = example;
  const float strange[] = {NAN, INFINITY, -INFINITY, 0x1.fffffep127f, -0x1.fffffep127f, 0x1p-149f, -0.0f, 65504, 1e9f, -1e-30f};
  for (size_t share = 1; share <= 256; share *= 4) {
    random_bits random = {19};
    size_t count = 1024, bytes;
    float* values = keep(count * sizeof *values);
    for (size_t i = 0; i < count; i++)
      values[i] = i % share == 0 ? strange[next_bits(&random) % 10] : next_weight(&random);
    const uint8_t* blocks = quantized(format, values, count, &bytes);
    put_bytes(out, blocks, bytes);
    const float* again = dequantized(format, blocks, bytes, &count);
    for (size_t i = 0; i < count; i++)
      if (!expect(isfinite(again[i]), "%s: element %zu is not finite", format->name, i)) break;
  }
}

// Half precision: every number, every tie and its neighbours.

static void halves_widened(result* out, hearth_pool* pool, const void* example) {
  (void)pool, (void)example;
  static uint16_t halves[1 << 16];
  for (size_t i = 0; i < 1 << 16; i++) halves[i] = (uint16_t)i;
  size_t count;
  const float* values = dequantized(hearth_format_for(1), (const uint8_t*)halves, sizeof halves, &count);
  put_bytes(out, values, count * sizeof *values);
  forget();
}

static void halves_narrowed(result* out, hearth_pool* pool, const void* example) {
  (void)pool;
  const hearth_format *f16 = hearth_format_for(1), *format = example;
  const size_t each = 0x7c00;
  float *values = keep(8 * each * sizeof *values + 256), *at = values;
  for (size_t i = 0; i < each; i++) {
    uint16_t pair[2] = {(uint16_t)i, (uint16_t)(i + 1)};
    float ends[2];
    f16->dequantize(ends, pair, 2);
    if (i == each - 1) ends[1] = 65536;
    float tie = ends[0] + (ends[1] - ends[0]) / 2;
    for (int negative = 0; negative < 2; negative++) {
      float sign = negative ? -1 : 1;
      *at++ = sign * ends[0], *at++ = sign * tie;
      *at++ = sign * float_of(bits_of(tie) + 1), *at++ = sign * float_of(bits_of(tie) - (tie > 0));
    }
  }
  // Every NaN with one bit, and infinity.
  for (uint32_t bit = 0; bit < 23; bit++) *at++ = float_of(0x7f800000u | 1u << bit), *at++ = float_of(0xff800000u | 1u << bit);
  *at++ = INFINITY, *at++ = -INFINITY;
  size_t bytes;
  const uint8_t* blocks = quantized(format, values, (size_t)(at - values), &bytes);
  put_bytes(out, blocks, bytes);
  forget();
}

void check_formats(const char* fixtures, bool quick) {
  (void)quick;
  check_goldens(fixtures);
  for (size_t f = 0; f < hearth_format_count(); f++) {
    const hearth_format* format = hearth_format_at(f);
    everywhere(both_ways, format, "format %s", format->name);
    if (format->affine_bits > 0) check_groups(format);
    if (format->block_elements > 1) everywhere(strange_values, format, "format %s, strange values", format->name);
    forget();
  }
  everywhere(halves_widened, NULL, "every F16 widened");
  everywhere(halves_narrowed, hearth_format_for(1), "every tie of F16 narrowed");
  everywhere(halves_narrowed, hearth_format_for(30), "the same to BF16");
}
