#ifndef HEARTH_ELEMENTWISE_H
#define HEARTH_ELEMENTWISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "threads.h"

// Norms, activations and other maps over rows, with their gradients.
//
// Matrices are row-major and dense, [rows, width]. Every reduction has one fixed order (documented
// at the function's definition), so results do not depend on threads, on other rows, or on the
// instruction set. Every `…_backward` adds to the gradients it is given; a NULL gradient is not
// wanted and not computed. exp, tanh and sigmoid are one polynomial on every instruction set. A
// NULL pool runs on the caller.

/// e^x, with the polynomial that every kernel here uses (scalar entry, for tests and twins).
float hearth_exp(float x);
float hearth_tanh(float x);
float hearth_erf(float x);

/// y = weight * x * r, r = 1 / sqrt(mean(x^2) + epsilon); `reciprocal` [rows] receives r, or is
/// NULL.
void hearth_rms_norm(hearth_pool* pool, float* y, float* reciprocal, const float* x,
                     const float* weight, size_t rows, size_t width, float epsilon);
void hearth_rms_norm_backward(hearth_pool* pool, float* dx, float* dweight, const float* dy,
                              const float* x, const float* weight, const float* reciprocal,
                              size_t rows, size_t width);

/// y = weight * (x - mean) * r + bias, r = 1 / sqrt(variance + epsilon); `mean`, `reciprocal`
/// [rows] or NULL; `bias` may be NULL.
void hearth_layer_norm(hearth_pool* pool, float* y, float* mean, float* reciprocal, const float* x,
                       const float* weight, const float* bias, size_t rows, size_t width,
                       float epsilon);
void hearth_layer_norm_backward(hearth_pool* pool, float* dx, float* dweight, float* dbias,
                                const float* dy, const float* x, const float* weight,
                                const float* mean, const float* reciprocal, size_t rows,
                                size_t width);

/// Which two elements of a head turn together.
typedef enum {
  HEARTH_ROPE_NEIGHBOURS = 0,  ///< (2i, 2i+1), Meta's; GGUF files of architecture llama
  HEARTH_ROPE_HALVES = 1,      ///< (i, i + rotary/2), GPT-NeoX's; Hugging Face folders
} hearth_rope_pairing;

/// Rotates the first `rotary_width` elements of each head of x [rows, heads * head_width] in place
/// by the angle of the row's position. `cosines`, `sines` are [maximum position, rotary_width / 2].
/// `inverse` turns the other way, which is the gradient.
void hearth_rope(hearth_pool* pool, float* x, const int32_t* positions, const float* cosines,
                 const float* sines, size_t rows, size_t heads, size_t head_width,
                 size_t rotary_width, hearth_rope_pairing pairing, bool inverse);

/// y = silu(gate) * up, elementwise; silu(g) = g / (1 + e^-g).
void hearth_swiglu(hearth_pool* pool, float* y, const float* gate, const float* up, size_t count);
void hearth_swiglu_backward(hearth_pool* pool, float* dgate, float* dup, const float* dy,
                            const float* gate, const float* up, size_t count);

/// GPT-2's GELU (tanh approximation): y = x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))).
void hearth_gelu_tanh(hearth_pool* pool, float* y, const float* x, size_t count);
void hearth_gelu_tanh_backward(hearth_pool* pool, float* dx, const float* dy, const float* x,
                               size_t count);
/// The exact GELU: y = x * Phi(x), by erf.
void hearth_gelu(hearth_pool* pool, float* y, const float* x, size_t count);
void hearth_gelu_backward(hearth_pool* pool, float* dx, const float* dy, const float* x,
                          size_t count);

/// y += scale * x.
void hearth_add_scaled(hearth_pool* pool, float* y, const float* x, float scale, size_t count);
/// y[r, i] += bias[i]; and its gradient dbias[i] += sum over r in order of dy[r, i].
void hearth_add_bias(hearth_pool* pool, float* y, const float* bias, size_t rows, size_t width);
void hearth_add_bias_backward(hearth_pool* pool, float* dbias, const float* dy, size_t rows,
                              size_t width);

/// Inverted dropout in place: element i is kept (and multiplied by 1 / (1 - probability)) or
/// zeroed, decided by a counter-based generator (Philox 4x32-10, Salmon et al. 2011) at (seed,
/// stream, i), so backward is the same call on the gradient.
void hearth_dropout(hearth_pool* pool, float* x, size_t count, float probability, uint64_t seed,
                    uint64_t stream);

/// The generator itself: ten rounds of Philox 4x32. Dropout's element i of `stream` is word i % 4
/// at counter (i / 4, stream), low words first, under key `seed`; it is kept when word >=
/// floor(probability * 2^32), at least 1.
void hearth_philox(uint32_t words[4], const uint32_t counter[4], const uint32_t key[2]);

/// losses[r] = -log softmax(logits[r])[targets[r]] (double accumulation of the sum of
/// exponentials); when `scale` is not 0, logits are overwritten with scale * (softmax - onehot),
/// the gradient. A target of -1 gives loss 0 and gradient 0; any other outside the vocabulary is
/// the caller's mistake and gives loss NaN and gradient 0.
void hearth_cross_entropy(hearth_pool* pool, float* losses, float* logits, const int32_t* targets,
                          size_t rows, size_t vocabulary, float scale);
/// y[i] = e^(x[i] - shift); y may be x.
void hearth_exponentials(hearth_pool* pool, float* y, const float* x, float shift, size_t count);
/// logits become log softmax(logits), row by row.
void hearth_log_softmax(hearth_pool* pool, float* logits, size_t rows, size_t vocabulary);

/// The first place of the largest of x, which goes to `largest`; `count` when there is none or one is NaN or +infinity.
size_t hearth_largest(const float* x, size_t count, float* largest);

/// Sum of squares of x, in tiles of fixed size added in order, double precision.
double hearth_sum_of_squares(hearth_pool* pool, const float* x, size_t count);

/// One AdamW step's settings, in double as PyTorch holds them: 1 - beta2 taken from a float 0.999
/// would be wrong in the fifth digit.
typedef struct {
  double learning_rate, beta1, beta2, epsilon, weight_decay;
  double correction1, correction2;  ///< 1 - beta1^step, 1 - beta2^step
  float gradient_scale;             ///< multiplies every gradient first (clipping)
} hearth_adamw_settings;

/// One AdamW step (Loshchilov and Hutter, arXiv:1711.05101), operation for operation as PyTorch's
/// single-tensor AdamW: p *= 1 - lr*decay; m += (1 - beta1) * (g - m); v = beta2*v + (1 -
/// beta2)*g*g; p -= lr / correction1 * m / (sqrt(v) / sqrt(correction2) + epsilon).
void hearth_adamw(hearth_pool* pool, float* parameters, float* first, float* second,
                  const float* gradient, size_t count, const hearth_adamw_settings* settings);

#endif
