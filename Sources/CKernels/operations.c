/* What is known of each operation before it runs. A new operation is a line here, a case in the loops (loops.h), and a call
 * in `FusedKernels`. */
#include "plan.h"

const kernels_facts kernels_all_facts[KERNELS_CODES] = {
  [KERNELS_FILL] = {"fill", BY_ROWS, 8, .overwrites = true},
  [KERNELS_COPY] = {"copy", BY_ROWS, 8, .overwrites = true},
  [KERNELS_SCALE] = {"scale", BY_ROWS, 8},
  [KERNELS_ADD] = {"add", BY_ROWS, 8},
  [KERNELS_MULTIPLY] = {"multiply", BY_ROWS, 8},
  [KERNELS_SUM] = {"sum", BY_ROWS, 8, .overwrites = true},
  [KERNELS_MOVING_AVERAGE] = {"moving_average", BY_ROWS, 8},
  [KERNELS_LOGARITHM] = {"logarithm", BY_ROWS, 60},
  [KERNELS_ACTIVATION] = {"activation", BY_ROWS, 30, .overwrites = true},
  [KERNELS_ACTIVATION_DERIVATIVE] = {"activation_derivative", BY_ROWS, 30, .overwrites = true},
  [KERNELS_DROPOUT_MASK] = {"dropout_mask", BY_ROWS, 300},
  [KERNELS_ADD_NORMAL] = {"add_normal", BY_ROWS, 500},
  [KERNELS_SGD] = {"sgd", BY_ROWS, 8},
  [KERNELS_ADAMW] = {"adamw", BY_ROWS, 8},
  [KERNELS_ADAMW_PULLBACK] = {"adamw_pullback", BY_ROWS, 8},
  [KERNELS_ADAMW_EFFECT] = {"adamw_effect", BY_ROWS, 8},

  [KERNELS_AVERAGE_POOL] = {"average_pool", BY_ROWS, 8, .row = OF_WINDOWS, .apart = 1},
  [KERNELS_AVERAGE_POOL_BACKWARD] = {"average_pool_backward", BY_ROWS, 8, .row = OF_WINDOWS, .apart = 0},
  [KERNELS_MAX_POOL] = {"max_pool", BY_ROWS, 8, .row = OF_WINDOWS, .apart = 1},
  [KERNELS_MAX_POOL_BACKWARD] = {"max_pool_backward", BY_ROWS, 8, .row = OF_WINDOWS, .apart = 0},
  [KERNELS_MAX_POOL_TANGENT] = {"max_pool_tangent", BY_ROWS, 8, .row = OF_WINDOWS, .apart = 1},
  [KERNELS_SCALE_CHANNELS] = {"scale_channels", BY_ROWS, 8, .row = OF_PIXELS, .apart = 2},
  [KERNELS_SUM_PIXELS] = {"sum_pixels", BY_ROWS, 8, .row = OF_PIXELS, .apart = 0},
  [KERNELS_SCALE_ROWS] = {"scale_rows", BY_ROWS, 8},

  [KERNELS_CONVOLUTION] = {"convolution", CONVOLUTION},
  [KERNELS_CONVOLUTION_INPUT_COTANGENT] = {"convolution_input_cotangent", CONVOLUTION, .overwrites = true},
  [KERNELS_CONVOLUTION_PARAMETER_COTANGENTS] = {"convolution_parameter_cotangents", CONVOLUTION},

  [KERNELS_DENSE] = {"dense", BY_ROWS},
  [KERNELS_DENSE_INPUT_COTANGENT] = {"dense_input_cotangent", BY_ROWS},
  [KERNELS_DENSE_PARAMETER_COTANGENTS] = {"dense_parameter_cotangents", BY_ROWS},
  [KERNELS_DENSE_TANGENT] = {"dense_tangent", BY_ROWS},

  [KERNELS_NORMALIZATION_STATISTICS] = {"normalization_statistics", BY_COLUMNS, 8},
  [KERNELS_NORMALIZATION] = {"normalization", BY_ROWS, 8, .overwrites = true},
  [KERNELS_NORMALIZATION_BACKWARD_SUMS] = {"normalization_backward_sums", BY_COLUMNS, 8},
  [KERNELS_NORMALIZATION_BACKWARD] = {"normalization_backward", BY_ROWS, 8, .overwrites = true},
  [KERNELS_NORMALIZATION_TANGENT_SUMS] = {"normalization_tangent_sums", BY_COLUMNS, 8},
  [KERNELS_NORMALIZATION_TANGENT] = {"normalization_tangent", BY_ROWS, 8},

  [KERNELS_SOFTMAX] = {"softmax", BY_ROWS, 100, 100},
  [KERNELS_SOFTMAX_BACKWARD] = {"softmax_backward", BY_ROWS, 8},
  [KERNELS_CROSS_ENTROPY] = {"cross_entropy", BY_ROWS, 100, 100},
  [KERNELS_SAMPLE] = {"sample", BY_ROWS, 8, 600},
  [KERNELS_SMOOTH] = {"smooth", BY_ROWS, 8},
  [KERNELS_ROW_MAXIMUM] = {"row_maximum", BY_ROWS, 8},
  [KERNELS_CONFIDENCE_MASK] = {"confidence_mask", BY_ROWS, 8},

  [KERNELS_DOT] = {"dot", BY_CHUNKS, 8},
  [KERNELS_ALL_FINITE] = {"all_finite", BY_CHUNKS, 8},
  [KERNELS_CONVERT] = {"convert", BY_CHUNKS, 8},
};

const char *kernels_code_name(int32_t code) {
  return code >= 0 && code < KERNELS_CODES ? kernels_all_facts[code].name : 0;
}

double kernels_multiply_adds_of_example(const kernels_operation *o) {
  double of_pixel = (double)(o->columns * o->inner) / (double)o->images.groups * (double)o->images.window_height
      * (double)o->images.window_width;
  return of_pixel * (double)o->images.output_height * (double)o->images.output_width;
}

double kernels_cost_of_row(const kernels_operation *o) {
  const kernels_facts *facts = facts_of(o);
  const kernels_images *i = &o->images;
  double columns = (double)o->columns;
  if (is_dense(o)) return columns * (double)o->inner * (o->code == KERNELS_DENSE_TANGENT && o->operands[1] ? 2 : 1);
  if (kernels_is_convolution(o)) return kernels_multiply_adds_of_example(o);
  switch (facts->row) {
    case OF_COLUMNS: break;
    case OF_PIXELS: columns *= (double)o->inner; break;
    case OF_WINDOWS: columns *= (double)(i->output_height * i->output_width * i->window_height * i->window_width); break;
  }
  // A ReLU, leaky or not, has no exponential.
  bool is_activation = o->code == KERNELS_ACTIVATION || o->code == KERNELS_ACTIVATION_DERIVATIVE;
  double of_column = is_activation && o->option <= KERNELS_LEAKY_RELU ? 8 : facts->of_column;
  return columns * of_column + facts->of_row;
}

/* A region on two threads starts and ends in about the time of so many multiply-adds. */
static const double work_of_thread = 50e3;

int kernels_threads_for(double work, int64_t pieces, int allowed) {
  double useful = work / work_of_thread;
  int64_t threads = useful < allowed ? (int64_t)useful : allowed;
  if (threads > pieces) threads = pieces;
  return threads > 1 ? (int)threads : 1;
}
