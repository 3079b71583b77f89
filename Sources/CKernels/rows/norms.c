#include <math.h>

#include "../include/elementwise.h"
#include "row_functions.h"

// Root-mean-square and layer normalisation, forward and backward. Rows are independent; gradients
// of gains and biases add the rows in order, each worker owning some columns.

typedef struct {
  float *y, *mean, *reciprocal;
  const float *x, *weight, *bias;
  float *dx, *dweight, *dbias;
  const float *dy, *saved_mean, *saved_reciprocal;
  size_t rows, width;
  float epsilon;
} norm;

/// Elements of the row from `i` on.
#define REST(i) (width - (i))

HEARTH_INLINE void rms_norm_task_body(void* context, int index, int count) {
  const norm* n = context;
  const size_t width = n->width;
  hearth_share share = share_of(n->rows, 1, index, count);
  for (size_t row = share.from; row < share.to; row++) {
    const float* x = n->x + row * width;
    float* y = n->y + row * width;
    float r = rms_reciprocal(x, width, n->epsilon);
    for (size_t i = 0; i < width; i += LANE_COUNT) {
      lanes normal = lanes_load_first(x + i, REST(i), 0) * r;
      lanes_store_first(y + i, lanes_load_first(n->weight + i, REST(i), 0) * normal, REST(i));
    }
    if (n->reciprocal) n->reciprocal[row] = r;
  }
}
HEARTH_KERNEL(rms_norm_task)

void hearth_rms_norm(hearth_pool* pool, float* y, float* reciprocal, const float* x,
                     const float* weight, size_t rows, size_t width, float epsilon) {
  norm n = {.y = y, .reciprocal = reciprocal, .x = x, .weight = weight, .rows = rows,
            .width = width, .epsilon = epsilon};
  hearth_pool_run(pool_for(pool, rows * width), rms_norm_task, &n);
}

//     dx += r · (w·dy − x̂ · mean(w·dy·x̂))      dw += Σ_row dy · x̂      x̂ = r·x
HEARTH_INLINE void rms_norm_backward_task_body(void* context, int index, int count) {
  const norm* n = context;
  const size_t width = n->width;
  hearth_share rows = share_of(n->dx ? n->rows : 0, 1, index, count);
  for (size_t row = rows.from; row < rows.to; row++) {
    const float *x = n->x + row * width, *dy = n->dy + row * width;
    float* dx = n->dx + row * width;
    float r = n->saved_reciprocal[row];
    lanes products = 0;
    for (size_t i = 0; i < width; i += LANE_COUNT) {
      lanes inward =
          lanes_load_first(n->weight + i, REST(i), 0) * lanes_load_first(dy + i, REST(i), 0);
      products = lanes_fma(inward, lanes_load_first(x + i, REST(i), 0) * r, products);
    }
    float mean = lanes_sum(products) / (float)width;
    for (size_t i = 0; i < width; i += LANE_COUNT) {
      lanes inward =
          lanes_load_first(n->weight + i, REST(i), 0) * lanes_load_first(dy + i, REST(i), 0);
      lanes normal = lanes_load_first(x + i, REST(i), 0) * r;
      lanes gradient = lanes_fma(normal, (lanes)(-mean), inward);
      lanes sum = lanes_fma(gradient, (lanes)(r), lanes_load_first(dx + i, REST(i), 0));
      lanes_store_first(dx + i, sum, REST(i));
    }
  }
  hearth_share columns = share_of(n->dweight ? width : 0, LANE_COUNT, index, count);
  for (size_t row = 0; row < n->rows; row++)
    for (size_t i = columns.from; i < columns.to; i += LANE_COUNT) {
      size_t at = row * width + i;
      lanes normal = lanes_load_first(n->x + at, REST(i), 0) * n->saved_reciprocal[row];
      lanes sum = lanes_fma(lanes_load_first(n->dy + at, REST(i), 0), normal,
                            lanes_load_first(n->dweight + i, REST(i), 0));
      lanes_store_first(n->dweight + i, sum, REST(i));
    }
}
HEARTH_KERNEL(rms_norm_backward_task)

void hearth_rms_norm_backward(hearth_pool* pool, float* dx, float* dweight, const float* dy,
                              const float* x, const float* weight, const float* reciprocal,
                              size_t rows, size_t width) {
  norm n = {.x = x, .weight = weight, .dx = dx, .dweight = dweight, .dy = dy,
            .saved_reciprocal = reciprocal, .rows = rows, .width = width};
  hearth_pool_run(pool_for(pool, rows * width), rms_norm_backward_task, &n);
}

// LayerNorm: the mean first, then the variance of what is left, each by sixteen partial sums and
// the tree.

HEARTH_INLINE void layer_norm_task_body(void* context, int index, int count) {
  const norm* n = context;
  const size_t width = n->width;
  hearth_share share = share_of(n->rows, 1, index, count);
  for (size_t row = share.from; row < share.to; row++) {
    const float* x = n->x + row * width;
    float* y = n->y + row * width;
    lanes sums = 0;
    for (size_t i = 0; i < width; i += LANE_COUNT) sums += lanes_load_first(x + i, REST(i), 0);
    float mean = lanes_sum(sums) / (float)width;
    lanes squares = 0;
    for (size_t i = 0; i < width; i += LANE_COUNT) {
      // Lanes beyond the row hold the mean, so that they add nothing.
      lanes e = lanes_load_first(x + i, REST(i), mean) - mean;
      squares = lanes_fma(e, e, squares);
    }
    float r = 1 / sqrtf(lanes_sum(squares) / (float)width + n->epsilon);
    for (size_t i = 0; i < width; i += LANE_COUNT) {
      lanes normal = (lanes_load_first(x + i, REST(i), 0) - mean) * r;
      lanes bias = n->bias ? lanes_load_first(n->bias + i, REST(i), 0) : (lanes)(0.0f);
      lanes value = lanes_fma(lanes_load_first(n->weight + i, REST(i), 0), normal, bias);
      lanes_store_first(y + i, value, REST(i));
    }
    if (n->mean) n->mean[row] = mean;
    if (n->reciprocal) n->reciprocal[row] = r;
  }
}
HEARTH_KERNEL(layer_norm_task)

void hearth_layer_norm(hearth_pool* pool, float* y, float* mean, float* reciprocal, const float* x,
                       const float* weight, const float* bias, size_t rows, size_t width,
                       float epsilon) {
  norm n = {.y = y, .mean = mean, .reciprocal = reciprocal, .x = x, .weight = weight,
            .bias = bias, .rows = rows, .width = width, .epsilon = epsilon};
  hearth_pool_run(pool_for(pool, rows * width), layer_norm_task, &n);
}

//     dx += r · (w·dy − mean(w·dy) − x̂ · mean(w·dy·x̂))      dw += Σ_row dy·x̂      db += Σ_row dy
HEARTH_INLINE void layer_norm_backward_task_body(void* context, int index, int count) {
  const norm* n = context;
  const size_t width = n->width;
  hearth_share rows = share_of(n->dx ? n->rows : 0, 1, index, count);
  for (size_t row = rows.from; row < rows.to; row++) {
    const float *x = n->x + row * width, *dy = n->dy + row * width;
    float* dx = n->dx + row * width;
    float r = n->saved_reciprocal[row], center = n->saved_mean[row];
    lanes sums = 0, products = 0;
    for (size_t i = 0; i < width; i += LANE_COUNT) {
      lanes inward =
          lanes_load_first(n->weight + i, REST(i), 0) * lanes_load_first(dy + i, REST(i), 0);
      sums += inward;
      products = lanes_fma(inward, (lanes_load_first(x + i, REST(i), 0) - center) * r, products);
    }
    float mean = lanes_sum(sums) / (float)width, slope = lanes_sum(products) / (float)width;
    for (size_t i = 0; i < width; i += LANE_COUNT) {
      lanes inward =
          lanes_load_first(n->weight + i, REST(i), 0) * lanes_load_first(dy + i, REST(i), 0);
      lanes normal = (lanes_load_first(x + i, REST(i), 0) - center) * r;
      lanes gradient = lanes_fma(normal, (lanes)(-slope), inward - mean);
      lanes sum = lanes_fma(gradient, (lanes)(r), lanes_load_first(dx + i, REST(i), 0));
      lanes_store_first(dx + i, sum, REST(i));
    }
  }
  hearth_share columns = share_of(n->dweight || n->dbias ? width : 0, LANE_COUNT, index, count);
  for (size_t row = 0; row < n->rows; row++)
    for (size_t i = columns.from; i < columns.to; i += LANE_COUNT) {
      size_t at = row * width + i;
      lanes outward = lanes_load_first(n->dy + at, REST(i), 0);
      if (n->dweight) {
        lanes normal = (lanes_load_first(n->x + at, REST(i), 0) - n->saved_mean[row]) *
                       n->saved_reciprocal[row];
        lanes sum = lanes_fma(outward, normal, lanes_load_first(n->dweight + i, REST(i), 0));
        lanes_store_first(n->dweight + i, sum, REST(i));
      }
      if (n->dbias) {
        lanes sum = lanes_load_first(n->dbias + i, REST(i), 0) + outward;
        lanes_store_first(n->dbias + i, sum, REST(i));
      }
    }
}
HEARTH_KERNEL(layer_norm_backward_task)

void hearth_layer_norm_backward(hearth_pool* pool, float* dx, float* dweight, float* dbias,
                                const float* dy, const float* x, const float* weight,
                                const float* mean, const float* reciprocal, size_t rows,
                                size_t width) {
  norm n = {.x = x, .weight = weight, .dx = dx, .dweight = dweight, .dbias = dbias, .dy = dy,
            .saved_mean = mean, .saved_reciprocal = reciprocal, .rows = rows, .width = width};
  hearth_pool_run(pool_for(pool, rows * width), layer_norm_backward_task, &n);
}
