/* How long operations take. */
#include "plan.h"

#include <time.h>

kernels_profile *kernels_current_profile;

void kernels_take_times(kernels_profile *profile) { kernels_current_profile = profile; }

const char *kernels_code_name(int32_t code) {
  static const char *const names[KERNELS_CODES] = {
    [KERNELS_FILL] = "fill",
    [KERNELS_COPY] = "copy",
    [KERNELS_SCALE] = "scale",
    [KERNELS_ADD] = "add",
    [KERNELS_MULTIPLY] = "multiply",
    [KERNELS_SUM] = "sum",
    [KERNELS_MOVING_AVERAGE] = "moving_average",
    [KERNELS_LOGARITHM] = "logarithm",
    [KERNELS_ACTIVATION] = "activation",
    [KERNELS_ACTIVATION_DERIVATIVE] = "activation_derivative",
    [KERNELS_DROPOUT_MASK] = "dropout_mask",
    [KERNELS_ADD_NORMAL] = "add_normal",
    [KERNELS_SGD] = "sgd",
    [KERNELS_ADAMW] = "adamw",
    [KERNELS_ADAMW_PULLBACK] = "adamw_pullback",
    [KERNELS_ADAMW_EFFECT] = "adamw_effect",
    [KERNELS_AVERAGE_POOL] = "average_pool",
    [KERNELS_AVERAGE_POOL_BACKWARD] = "average_pool_backward",
    [KERNELS_MAX_POOL] = "max_pool",
    [KERNELS_MAX_POOL_BACKWARD] = "max_pool_backward",
    [KERNELS_MAX_POOL_TANGENT] = "max_pool_tangent",
    [KERNELS_SCALE_CHANNELS] = "scale_channels",
    [KERNELS_SUM_PIXELS] = "sum_pixels",
    [KERNELS_SCALE_ROWS] = "scale_rows",
    [KERNELS_CONVOLUTION] = "convolution",
    [KERNELS_CONVOLUTION_INPUT_COTANGENT] = "convolution_input_cotangent",
    [KERNELS_CONVOLUTION_PARAMETER_COTANGENTS] = "convolution_parameter_cotangents",
    [KERNELS_DENSE] = "dense",
    [KERNELS_DENSE_INPUT_COTANGENT] = "dense_input_cotangent",
    [KERNELS_DENSE_PARAMETER_COTANGENTS] = "dense_parameter_cotangents",
    [KERNELS_DENSE_TANGENT] = "dense_tangent",
    [KERNELS_NORMALIZATION_STATISTICS] = "normalization_statistics",
    [KERNELS_NORMALIZATION] = "normalization",
    [KERNELS_NORMALIZATION_BACKWARD_SUMS] = "normalization_backward_sums",
    [KERNELS_NORMALIZATION_BACKWARD] = "normalization_backward",
    [KERNELS_NORMALIZATION_TANGENT_SUMS] = "normalization_tangent_sums",
    [KERNELS_NORMALIZATION_TANGENT] = "normalization_tangent",
    [KERNELS_SOFTMAX] = "softmax",
    [KERNELS_SOFTMAX_BACKWARD] = "softmax_backward",
    [KERNELS_CROSS_ENTROPY] = "cross_entropy",
    [KERNELS_SAMPLE] = "sample",
    [KERNELS_SMOOTH] = "smooth",
    [KERNELS_CONFIDENCE_MASK] = "confidence_mask",
    [KERNELS_DOT] = "dot",
    [KERNELS_ALL_FINITE] = "all_finite",
    [KERNELS_CONVERT] = "convert",
  };
  return code >= 0 && code < KERNELS_CODES ? names[code] : 0;
}

double kernels_now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

void kernels_take_time(const kernels_operation *o, double rows, double start) {
  if (!kernels_current_profile) return;
  bool has_two = o->code == KERNELS_DENSE_TANGENT && o->operands[1];
  kernels_current_profile->seconds[o->code] += kernels_now() - start;
  kernels_current_profile->calls[o->code]++;
  bool is_large = kind_of(o) == LARGE_PRODUCT || kind_of(o) == CONVOLUTION;
  double *work = is_large ? kernels_current_profile->large_work : kernels_current_profile->work;
  double of_row = (double)o->columns * (is_dense(o) ? (double)o->inner * (has_two ? 2 : 1) : 1);
  work[o->code] += rows * (kernels_is_convolution(o) ? kernels_multiply_adds_of_example(o) : of_row);
}

void kernels_take_waiting(double start) {
  if (!kernels_current_profile) return;
  kernels_current_profile->waiting += kernels_now() - start;
  kernels_current_profile->regions++;
}
