/* What planning and running share. */
#pragma once

#include "internal.h"

static inline kernels_kind kind_of(const kernels_operation *o) {
  if (is_summed_by_rows(o)) return SUMS_BY_ROWS;
  return kernels_is_large_product(o) ? LARGE_PRODUCT : facts_of(o)->kind;
}

static inline bool is_dense(const kernels_operation *o) {
  return o->code >= KERNELS_DENSE && o->code <= KERNELS_DENSE_TANGENT;
}

/* Sums over pixels are those of a dense layer over as many rows. */
static inline kernels_operation bias_sums_of(const kernels_operation *o) {
  kernels_operation sums = *o;
  sums.code = KERNELS_DENSE_PARAMETER_COTANGENTS;
  // The form of the images on the other side does not matter.
  sums.operands[0] = sums.operands[3] = 0;
  sums.inner = o->images.output_height * o->images.output_width;
  sums.rows = o->rows * sums.inner;
  return sums;
}

/* Whether the bias of a convolution has a cotangent, which is summed up apart. */
static inline bool sums_bias(const kernels_operation *o) {
  return o->code == KERNELS_CONVOLUTION_PARAMETER_COTANGENTS && o->operands[1];
}

static inline bool reads_weights(const kernels_operation *o) {
  return o->code == KERNELS_CONVOLUTION || o->code == KERNELS_CONVOLUTION_INPUT_COTANGENT;
}

/* operations.c */

/* Of an example of a convolution. */
double kernels_multiply_adds_of_example(const kernels_operation *operation);
/* What one row costs, in multiply-adds of a product. */
double kernels_cost_of_row(const kernels_operation *operation);
/* How many threads are worth their start for so much work in so many pieces. */
int kernels_threads_for(double work, int64_t pieces, int allowed);

/* fusion.c: joins operations, of which the second then has nothing left to do. False where there is no memory. */
bool kernels_fuse(kernels_operation *operations, int64_t count);

/* regions.c */

/* How many operations the region has that begins with `begin`, the first of `count` operations; 0 where that
 * runs by itself. */
int64_t kernels_length_of_region(const kernels_operation *begin, int64_t count);
/* How the rows of a region, whose convolutions are made, are shared among at most so many threads. */
kernels_division kernels_divide(const kernels_operation *operations, int64_t count, int allowed);

/* profile.c: where times go; null for nowhere. */
extern kernels_profile *kernels_current_profile;
double kernels_now(void);
void kernels_take_time(const kernels_operation *operation, double rows, double start);
void kernels_take_waiting(double start);
