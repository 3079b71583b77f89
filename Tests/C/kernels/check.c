#include "check.h"

static int complaint_count;

int complaints(void) { return complaint_count; }

bool expect(bool condition, const char* message, ...) {
  if (condition) return true;
  if (complaint_count++ < 40) {
    va_list arguments;
    va_start(arguments, message);
    fputs("wrong: ", stderr);
    vfprintf(stderr, message, arguments);
    fputc('\n', stderr);
    va_end(arguments);
  }
  return false;
}

static void* taken[4096];
static size_t taken_count;

void* keep(size_t bytes) {
  void* memory = calloc(bytes + 64, 1);
  if (memory == NULL || taken_count == sizeof taken / sizeof *taken) {
    fputs("out of memory\n", stderr);
    exit(2);
  }
  return taken[taken_count++] = memory;
}

void forget(void) {
  while (taken_count > 0) free(taken[--taken_count]);
}

void put_bytes(result* out, const void* bytes, size_t count) {
  if (out->count + count > out->capacity) {
    out->capacity = 2 * (out->count + count);
    out->bytes = realloc(out->bytes, out->capacity);
    if (out->bytes == NULL) exit(2);
  }
  if (count > 0) memcpy(out->bytes + out->count, bytes, count);
  out->count += count;
}

void put_floats(result* out, const float* values, size_t count) {
  put_bytes(out, values, count * sizeof *values);
  for (size_t i = 0; i < count; i++) {
    const uint32_t nan = 0x7fc00000u;
    if (values[i] != values[i]) memcpy(out->bytes + out->count - 4 * (count - i), &nan, sizeof nan);
  }
}

/// FNV-1a, on words of eight bytes.
static uint64_t digest_of(const result* r) {
  uint64_t digest = 0xcbf29ce484222325u;
  for (size_t i = 0; i < r->count; i += 8) {
    uint64_t word = 0;
    memcpy(&word, r->bytes + i, r->count - i < 8 ? r->count - i : 8);
    digest = (digest ^ word) * 0x100000001b3u;
    digest ^= digest >> 32;
  }
  return digest ^ r->count;
}

static void compare(const result* expected, const result* got, const char* name, hearth_isa isa, int threads) {
  if (!expect(got->count == expected->count, "%s: %zu bytes, expected %zu, on %s with %d threads", name, got->count,
              expected->count, hearth_isa_name(isa), threads))
    return;
  for (size_t i = 0; i < got->count; i++)
    if (got->bytes[i] != expected->bytes[i]) {
      expect(false, "%s: byte %zu of %zu differs from the plain twin's, on %s with %d threads", name, i, got->count,
             hearth_isa_name(isa), threads);
      return;
    }
}

void everywhere(computation compute, const void* example, const char* name, ...) {
  static hearth_pool* pools[4];
  char text[160];
  va_list arguments;
  va_start(arguments, name);
  vsnprintf(text, sizeof text, name, arguments);
  va_end(arguments);
  result expected = {0}, got = {0};
  for (int isa = HEARTH_ISA_SCALAR; isa <= HEARTH_ISA_I8MM; isa++) {
    hearth_isa_force((hearth_isa)isa);
    if (hearth_isa_current() != (hearth_isa)isa) continue;
    for (int threads = 0; threads <= 3; threads++) {
      if (threads > 0 && pools[threads] == NULL) pools[threads] = hearth_pool_create(threads);
      if (threads > 0 && !expect(pools[threads] != NULL, "no pool of %d threads", threads)) continue;
      bool first = isa == HEARTH_ISA_SCALAR && threads == 0;
      // The plain twin once with threads will do: it is slow.
      if (isa == HEARTH_ISA_SCALAR && (threads == 1 || threads == 3)) continue;
      result* out = first ? &expected : &got;
      out->count = 0;
      compute(out, pools[threads], example);
      if (!first) compare(&expected, out, text, (hearth_isa)isa, threads);
    }
  }
  hearth_isa_force(hearth_isa_best());
  printf("%016llx  %s\n", (unsigned long long)digest_of(&expected), text);
  free(expected.bytes);
  free(got.bytes);
}

noise noise_of(uint64_t seed) { return (noise){seed * 2654435769u + 1}; }

float next_noise(noise* source) {
  source->state = source->state * 6364136223846793005u + 1442695040888963407u;
  return (float)(int32_t)(source->state >> 32) / 2147483648.0f;
}

float* noise_array(noise* source, size_t count, float scale) {
  float* values = keep(count * sizeof *values);
  for (size_t i = 0; i < count; i++) values[i] = scale * next_noise(source);
  return values;
}

uint64_t next_bits(random_bits* source) {
  uint64_t z = source->state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

float next_weight(random_bits* source) {
  uint64_t z = next_bits(source);
  int sum = 0;
  for (int i = 0; i < 4; i++) sum += (int)(z >> (16 * i) & 0xffff);
  return (float)(sum - 131070) * 0x1p-20f;
}

bool same_bits(const float* x, const float* y, size_t count) { return memcmp(x, y, count * sizeof *x) == 0; }
