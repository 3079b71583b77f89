#include "functions.h"

#include "../include/elementwise.h"

// One number at a time, through the lanes, so that tests and samplers meet the very polynomial of
// the kernels.

typedef struct {
  float x, y;
} argument;

HEARTH_INLINE void exp_one_body(void* context, int index, int count) {
  (void)index, (void)count;
  argument* a = context;
  a->y = lanes_exp((lanes)(a->x))[0];
}
HEARTH_KERNEL(exp_one)

float hearth_exp(float x) {
  argument a = {x, 0};
  exp_one(&a, 0, 1);
  return a.y;
}

HEARTH_INLINE void tanh_one_body(void* context, int index, int count) {
  (void)index, (void)count;
  argument* a = context;
  a->y = lanes_tanh((lanes)(a->x))[0];
}
HEARTH_KERNEL(tanh_one)

float hearth_tanh(float x) {
  argument a = {x, 0};
  tanh_one(&a, 0, 1);
  return a.y;
}

HEARTH_INLINE void erf_one_body(void* context, int index, int count) {
  (void)index, (void)count;
  argument* a = context;
  a->y = lanes_erf((lanes)(a->x))[0];
}
HEARTH_KERNEL(erf_one)

float hearth_erf(float x) {
  argument a = {x, 0};
  erf_one(&a, 0, 1);
  return a.y;
}
