/* What operations cost, and how many threads that is worth. */
#include "plan.h"

double kernels_multiply_adds_of_example(const kernels_operation *o) {
  double of_pixel = (double)(o->columns * o->inner) / o->option * o->scalars[4] * o->scalars[4];
  return of_pixel * o->scalars[2] * o->scalars[3];
}

double kernels_cost_of_row(const kernels_operation *o) {
  double columns = (double)o->columns;
  switch (o->code) {
    case KERNELS_DENSE_TANGENT: return columns * (double)o->inner * (o->operands[1] ? 2 : 1);
    case KERNELS_DENSE:
    case KERNELS_DENSE_INPUT_COTANGENT:
    case KERNELS_DENSE_PARAMETER_COTANGENTS: return columns * (double)o->inner;
    case KERNELS_CONVOLUTION:
    case KERNELS_CONVOLUTION_INPUT_COTANGENT:
    case KERNELS_CONVOLUTION_PARAMETER_COTANGENTS: return kernels_multiply_adds_of_example(o);
    case KERNELS_AVERAGE_POOL:
    case KERNELS_AVERAGE_POOL_BACKWARD:
    case KERNELS_MAX_POOL:
    case KERNELS_MAX_POOL_BACKWARD:
    case KERNELS_MAX_POOL_TANGENT:
      return columns * o->scalars[2] * o->scalars[3] * o->scalars[4] * o->scalars[5] * 8;
    case KERNELS_SCALE_CHANNELS:
    case KERNELS_SUM_PIXELS: return columns * (double)o->inner * 8;
    case KERNELS_DROPOUT_MASK: return columns * 300;
    case KERNELS_ADD_NORMAL: return columns * 500;
    case KERNELS_LOGARITHM: return columns * 60;
    case KERNELS_SAMPLE: return columns * 8 + 600;
    case KERNELS_SOFTMAX:
    case KERNELS_CROSS_ENTROPY: return columns * 100 + 100;
    case KERNELS_ACTIVATION:
    case KERNELS_ACTIVATION_DERIVATIVE: return columns * (o->option <= KERNELS_LEAKY_RELU ? 8 : 30);
    default: return columns * 8;
  }
}

/* A region on two threads starts and ends in about the time of so many multiply-adds. */
static const double work_of_thread = 50e3;

int kernels_threads_for(double work, int64_t pieces, int allowed) {
  double useful = work / work_of_thread;
  int64_t threads = useful < allowed ? (int64_t)useful : allowed;
  if (threads > pieces) threads = pieces;
  return threads > 1 ? (int)threads : 1;
}
