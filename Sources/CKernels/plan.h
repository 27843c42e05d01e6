/* What planning and running share. */
#pragma once

#include "internal.h"

typedef enum { BY_ROWS, CONVOLUTION, SUMS_BY_ROWS, BY_COLUMNS, BY_CHUNKS, LARGE_PRODUCT } kind;

static inline kind kind_of(const kernels_operation *o) {
  if (is_summed_by_rows(o)) return SUMS_BY_ROWS;
  switch (o->code) {
    case KERNELS_NORMALIZATION_STATISTICS:
    case KERNELS_NORMALIZATION_BACKWARD_SUMS:
    case KERNELS_NORMALIZATION_TANGENT_SUMS: return BY_COLUMNS;
    case KERNELS_DOT:
    case KERNELS_ALL_FINITE:
    case KERNELS_CONVERT: return BY_CHUNKS;
    case KERNELS_CONVOLUTION:
    case KERNELS_CONVOLUTION_INPUT_COTANGENT:
    case KERNELS_CONVOLUTION_PARAMETER_COTANGENTS: return CONVOLUTION;
    default: return kernels_is_large_product(o) ? LARGE_PRODUCT : BY_ROWS;
  }
}

static inline bool is_dense(const kernels_operation *o) {
  return o->code >= KERNELS_DENSE && o->code <= KERNELS_DENSE_TANGENT;
}

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* Sums over pixels are those of a dense layer over as many rows. */
static inline kernels_operation bias_sums_of(const kernels_operation *o) {
  kernels_operation sums = *o;
  sums.code = KERNELS_DENSE_PARAMETER_COTANGENTS;
  // The form of the images on the other side does not matter.
  sums.operands[0] = sums.operands[3] = 0;
  sums.inner = (int64_t)(o->scalars[2] * o->scalars[3]);
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

/* costs.c */

/* Of an example of a convolution. */
double kernels_multiply_adds_of_example(const kernels_operation *operation);
/* What one row costs, in multiply-adds of a product: measured, roughly. */
double kernels_cost_of_row(const kernels_operation *operation);
/* How many threads are worth their start for so much work in so many pieces. */
int kernels_threads_for(double work, int64_t pieces, int allowed);

/* fusion.c: joins operations, of which the second then has nothing left to do. */
void kernels_fuse(kernels_operation *operations, int64_t count);

/* regions.c: the operation after the last one of the region that begins with `first`; `first` itself where it is in none. */
int64_t kernels_end_of_region(const kernels_operation *operations, int64_t first, int64_t count);

/* profile.c: where times go; null for nowhere. */
extern kernels_profile *kernels_current_profile;
double kernels_now(void);
void kernels_take_time(const kernels_operation *operation, double rows, double start);
void kernels_take_waiting(double start);
