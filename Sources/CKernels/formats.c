#include "include/formats.h"

#include "formats/block.h"

// In the order of GGUF's numbers.
static const hearth_format* const formats[] = {
    &hearth_format_f32,  &hearth_format_f16,    &hearth_format_q4_0,   &hearth_format_q4_1,
    &hearth_format_q5_0, &hearth_format_q5_1,   &hearth_format_q8_0,   &hearth_format_q2_k,
    &hearth_format_q3_k, &hearth_format_q4_k,   &hearth_format_q5_k,   &hearth_format_q6_k,
    &hearth_format_iq4_nl, &hearth_format_iq4_xs, &hearth_format_bf16,
};

size_t hearth_format_count(void) { return sizeof formats / sizeof formats[0]; }

const hearth_format* hearth_format_at(size_t index) {
  return index < hearth_format_count() ? formats[index] : NULL;
}

const hearth_format* hearth_format_for(uint32_t ggml_type) {
  for (size_t i = 0; i < hearth_format_count(); i++)
    if (formats[i]->ggml_type == ggml_type) return formats[i];
  return NULL;
}
