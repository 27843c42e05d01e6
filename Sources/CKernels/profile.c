/* How long operations take. */
#include "plan.h"

#include <time.h>

kernels_profile *kernels_current_profile;

void kernels_take_times(kernels_profile *profile) { kernels_current_profile = profile; }

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
