/* The loops that need C, for float32: fused with each other, compiled for several instruction sets, run by several
 * threads; and the products of oneDNN. Everything here is called by the Swift side of the kernels alone.
 *
 * A kernel call is a value, `kernels_operation`. It can run at once, or stand in a program with the calls of the other
 * layers of a network, which then runs as a few parallel regions over blocks of rows. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What an operation does. Operands are named in the order in which they stand; N rows, I inputs, O outputs, C columns. */
typedef enum {
  /* Element by element, `rows` × `columns` of them. */
  KERNELS_FILL,           /* x; value */
  KERNELS_COPY,           /* output, input */
  KERNELS_SCALE,          /* x; factor */
  KERNELS_ADD,            /* y, x; factor: y += factor · x */
  KERNELS_MULTIPLY,       /* output, a, b */
  KERNELS_SUM,            /* output, a, b */
  KERNELS_MOVING_AVERAGE, /* average, value; decay */
  KERNELS_LOGARITHM,      /* result, x; least: log(max(x, least)) */
  KERNELS_ACTIVATION,            /* output, input; function; slope of a leaky ReLU */
  KERNELS_ACTIVATION_DERIVATIVE, /* result, direction, input, output; function; slope */
  KERNELS_DROPOUT_MASK,          /* mask; rate; lane. Key and draw are the run's. */
  KERNELS_ADD_NORMAL,            /* x; deviation; lane. Key and draw are the run's. */
  KERNELS_SGD,    /* parameters, gradient, momentum or none; whether the momentum is Nesterov's */
  KERNELS_ADAMW,  /* parameters, gradient, first, second moment */
  KERNELS_ADAMW_PULLBACK, /* result, v, gradient, first, second moment */
  KERNELS_ADAMW_EFFECT,   /* result, gradient, first, second moment */

  /* Images, channels last: `columns` is C; sizes are in `images`. */
  KERNELS_AVERAGE_POOL,          /* output, input */
  KERNELS_AVERAGE_POOL_BACKWARD, /* input cotangent, output cotangent */
  KERNELS_MAX_POOL,              /* output, input, places */
  KERNELS_MAX_POOL_BACKWARD,     /* input cotangent, output cotangent, places */
  KERNELS_MAX_POOL_TANGENT,      /* output tangent, input tangent, places */
  /* `columns` is C, `inner` the number of pixels. */
  KERNELS_SCALE_CHANNELS, /* result, x, gate [N, C]; whether to accumulate */
  KERNELS_SUM_PIXELS,     /* gate [N, C], a, b */
  KERNELS_SCALE_ROWS,     /* result, x, factors [N] */

  /* Convolutions: `columns` is O, `inner` is I; sizes are in `images`. Weights are [O, I / groups, size, size], with
   * windows as high as wide. */
  KERNELS_CONVOLUTION,                      /* output, input, weight, bias or none */
  KERNELS_CONVOLUTION_INPUT_COTANGENT,      /* input cotangent, output cotangent, weight */
  KERNELS_CONVOLUTION_PARAMETER_COTANGENTS, /* weight cotangent, bias cotangent or none, output cotangent, input */

  /* Dense layers: `columns` is O, `inner` is I. */
  KERNELS_DENSE,                      /* output, input, weight [O, I], bias or none */
  KERNELS_DENSE_INPUT_COTANGENT,      /* input cotangent, output cotangent, weight */
  KERNELS_DENSE_PARAMETER_COTANGENTS, /* weight cotangent, bias cotangent or none, output cotangent, input */
  KERNELS_DENSE_TANGENT, /* output tangent, input tangent or none, input, weight, weight tangent, bias tangent */

  /* Batch normalisation, each in a part by columns, which sees all rows, and a part by rows. Moments are mean and
   * inverse deviation of each column, sums two values a column between the parts, all in float64. */
  KERNELS_NORMALIZATION_STATISTICS, /* input, running mean, running variance, moments; epsilon, momentum */
  KERNELS_NORMALIZATION,            /* output, input, weight, bias, moments */
  KERNELS_NORMALIZATION_BACKWARD_SUMS, /* output cotangent, input, moments, sums, weight cotangent, bias cotangent, weight,
                                          bias; whether statistics are the batch's (1), whether weight and bias add (2) */
  KERNELS_NORMALIZATION_BACKWARD, /* input cotangent, output cotangent, input, moments, sums, weight, none, bias */
  KERNELS_NORMALIZATION_TANGENT_SUMS, /* input tangent, input, moments, sums */
  KERNELS_NORMALIZATION_TANGENT, /* output tangent, input tangent or none, input, moments, sums, weight,
                                    weight tangent, bias tangent */

  /* Row by row on logits [N, C]. */
  KERNELS_SOFTMAX,          /* probabilities, logits; temperature */
  KERNELS_SOFTMAX_BACKWARD, /* logits cotangent, cotangent, probabilities, row scale or none; factor */
  KERNELS_CROSS_ENTROPY, /* losses (float64) or none, logits cotangent or none, logits, targets, row scale or none;
                            temperature, factor */
  KERNELS_SAMPLE,          /* one-hot, probabilities. Key and draw are the run's. */
  KERNELS_SMOOTH,          /* targets; smoothing */
  KERNELS_ROW_MAXIMUM,     /* largest [N], values */
  KERNELS_CONFIDENCE_MASK, /* mask, probabilities; threshold */

  /* Whole sums: by chunks of fixed size, so that the result does not depend on the number of threads. */
  KERNELS_DOT,        /* a, b */
  KERNELS_ALL_FINITE, /* x */
  KERNELS_CONVERT,    /* output, input, mean, scale (float64 [C], or none); type of the input. Also whether all is finite */
  KERNELS_CODES,
} kernels_code;

/* The functions without an exponential come first: `kernels_cost_of_row` tells them by that. */
typedef enum {
  KERNELS_RELU,
  KERNELS_LEAKY_RELU,
  KERNELS_SIGMOID,
  KERNELS_TANH,
  KERNELS_SWISH,
} kernels_function;

/* How convolutions compute; sums are float32 in any case. */
typedef enum {
  KERNELS_DIRECT,
  /* Winograd's algorithm where that is faster: fewer multiplications, more rounding. */
  KERNELS_FAST,
  /* On operands rounded to bfloat16, for which the processor must have instructions; or the same in float32. */
  KERNELS_BFLOAT16,
  KERNELS_ROUNDED_TO_BFLOAT16,
} kernels_arithmetic;

/* The channels of a block, of images that are kept so. */
enum { KERNELS_BLOCK = 16 };

enum { KERNELS_OPERANDS = 8, KERNELS_BASES = 12 };

/* The sizes of images and of the window that goes over them, in pixels. */
typedef struct {
  int64_t height, width, output_height, output_width, window_height, window_width, stride, padding;
  /* Convolutions have groups of channels that are not mixed, and may add to their output. */
  int64_t groups;
  bool accumulates;
} kernels_images;

/* How threads share rows: each has so many that follow each other, and takes so many of them at a time. */
typedef struct {
  int32_t threads;
  int64_t rows, rows_of_thread, rows_of_block;
} kernels_division;

typedef struct {
  int32_t code;
  /* The activation function, the type of an input, the lane of a draw, or flags. */
  int32_t option;
  /* Of a convolution (`kernels_arithmetic`). */
  int32_t arithmetic;
  int64_t rows, columns, inner;
  /* Where the operands are: the base in the highest byte, the bytes from there in the others. Base 0 is the address
   * space, so that an address stands for itself. An operand left out is 0. The highest bit says that the operand, an
   * image, is kept as bfloat16; within programs alone, by operations element by element, of images and of batch
   * normalisation. The one below says that it is kept in blocks of channels, [N, C / 16, pixels, 16]: to convolutions
   * each operand by itself, to batch normalisation all of them, and `inner` is the number of pixels. To the other
   * operations it means nothing: those of images take N · C / 16 examples of 16 channels. */
  uint64_t operands[KERNELS_OPERANDS];
  /* The numbers that an operation is given besides. */
  union {
    /* The one number of an operation: the value, factor, decay, slope and so on that `kernels_code` names. */
    double scalar;
    kernels_images images;
    struct { double gradient_scale, momentum_factor, learning_rate, weight_decay; } sgd;
    struct {
      double gradient_scale, learning_rate, beta1, beta2, epsilon, first_correction, second_correction, weight_decay;
    } adamw;
    struct { double epsilon, momentum; } statistics;
    struct { double temperature, factor; } logits;
  };
  /* Whether all that stands before is done first: it is about other examples. Rows that are as many need not be the same. */
  bool begins_region;
  /* Set by `kernels_plan`: the part of a thread's scratch memory that is this operation's, in floats. */
  int64_t scratch;
  /* Set by `kernels_plan`: an activation that the operation does on its way (`kernels_joined`). */
  int32_t joined;
  /* Set by `kernels_plan`: how many operations the region has that begins here, and how its rows are shared; 0 where the
   * operation runs by itself or a region goes on. */
  int64_t region;
  kernels_division division;
  /* oneDNN's primitives, where the product is large; made by `kernels_plan`, freed by `kernels_unplan`. */
  void *products[2];
} kernels_operation;

/* What one run needs beside its operations. */
typedef struct {
  void *bases[KERNELS_BASES];
  /* Of the random draw. */
  uint64_t key, draw;
  /* Whether parameter cotangents are added to what stands there, or replace it. */
  bool accumulate;
  /* The most threads to use, at least 1. */
  int32_t threads;
  /* `threads` times what `kernels_plan` says, 64-byte aligned; before it stands what `kernels_weights` says. */
  float *scratch;
  int64_t scratch_count;
  /* What KERNELS_DOT, KERNELS_ALL_FINITE and KERNELS_CONVERT find. */
  double result;
  /* Whether a convolution could not run, for want of memory. */
  bool failed;
} kernels_run;

/* Decides how each operation runs, and makes the primitives of the large products, once.
 * Returns the floats of scratch memory that each thread needs, or -1 where oneDNN has no memory left. */
int64_t kernels_plan(kernels_operation *operations, int64_t count, int32_t threads);
/* The floats before all scratch memory, for the weights of planned convolutions in the form that they want. */
int64_t kernels_weights(const kernels_operation *operations, int64_t count);
void kernels_unplan(kernels_operation *operations, int64_t count);
/* Runs planned operations one after the other. Operations that work row by row share parallel regions. */
void kernels_execute(const kernels_operation *operations, int64_t count, kernels_run *run);
/* Plans and runs a single operation; false where there is no memory for that. */
bool kernels_execute_one(kernels_operation *operation, kernels_run *run);
/* How many threads need scratch memory, of those allowed: small work stays on one. */
int32_t kernels_threads(const kernels_operation *operations, int64_t count, int32_t allowed);

/* Where the time goes, by operation, as the first thread of each region sees it. */
typedef struct {
  double seconds[KERNELS_CODES];
  int64_t calls[KERNELS_CODES];
  /* What the first thread of each region did of it: multiply-adds of products; elements of the others. And the
   * multiply-adds of large products on all threads. */
  double work[KERNELS_CODES], large_work[KERNELS_CODES];
  /* From the end of the first thread's part of a region until all have ended; and the number of regions. */
  double waiting;
  int64_t regions;
} kernels_profile;

/* Takes times from now on into `profile`, which NULL ends. For one training at a time, while nothing else runs. */
void kernels_take_times(kernels_profile *profile);
/* "dense", "dense_tangent" and so on. */
const char *kernels_code_name(int32_t code);

/* The instruction set that the loops were chosen for: "avx512", "avx2" or "baseline". The environment variable
 * DIDACT_MAX_CPU_ISA names the best one to use. */
const char *kernels_instruction_set(void);
/* "2.6.3", and the instruction set that oneDNN uses. */
const char *kernels_onednn_version(void);
const char *kernels_onednn_instruction_set(void);
/* Whether oneDNN convolves images in blocks of 16 channels faster than channels last, as it does with AVX-512. */
bool kernels_prefers_blocks(void);
/* Whether oneDNN may use instructions for bfloat16 here. */
bool kernels_has_bfloat16(void);
int32_t kernels_available_cores(void);

/* What augmentation does with pixels of uint8, channels last; `count` is of values. */
typedef struct {
  /* a ← a + factor · (b − a), cut off below and clipped. */
  void (*blend)(int64_t count, uint8_t *a, const uint8_t *b, float factor);
  /* The same of the luma and each of three channels. */
  void (*color)(int64_t pixels, uint8_t *x, float factor);
  int64_t (*luma_sum)(int64_t pixels, const uint8_t *x);
  /* The smallest and the largest value of each of three channels. */
  void (*extremes)(int64_t count, const uint8_t *x, uint8_t *low, uint8_t *high);
  /* (5 x + the eight values around it) / 13, rounded, of a part of a row: neighbours are `step` and `row` away. */
  void (*smooth)(int64_t count, int64_t step, int64_t row, const uint8_t *x, uint8_t *result);
} kernels_pixel_loops;
const kernels_pixel_loops *kernels_pixels(void);

/* Calls work(argument, part) for every part in 0..<parts, in parallel where threads are free. */
void kernels_for_each_part(int32_t parts, void (*work)(void *argument, int part), void *argument);
