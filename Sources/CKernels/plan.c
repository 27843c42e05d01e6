/* How operations run: which of them share a parallel region, on how many threads, over which blocks of rows. */
#include "internal.h"

#include <stdlib.h>
#include <strings.h>
#include <time.h>

typedef enum { BY_ROWS, CONVOLUTION, SUMS_BY_ROWS, BY_COLUMNS, BY_CHUNKS, LARGE_PRODUCT } kind;

static kind kind_of(const kernels_operation *o) {
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

static bool is_dense(const kernels_operation *o) {
  return o->code >= KERNELS_DENSE && o->code <= KERNELS_DENSE_TANGENT;
}

/* Of a convolution. */
static double multiply_adds_of_example(const kernels_operation *o) {
  double of_pixel = (double)(o->columns * o->inner) / o->option * o->scalars[4] * o->scalars[4];
  return of_pixel * o->scalars[2] * o->scalars[3];
}

/* What one row costs, in multiply-adds of a product: measured, roughly. */
static double cost_of_row(const kernels_operation *o) {
  double columns = (double)o->columns;
  switch (o->code) {
    case KERNELS_DENSE_TANGENT: return columns * (double)o->inner * (o->operands[1] ? 2 : 1);
    case KERNELS_DENSE:
    case KERNELS_DENSE_INPUT_COTANGENT:
    case KERNELS_DENSE_PARAMETER_COTANGENTS: return columns * (double)o->inner;
    case KERNELS_CONVOLUTION:
    case KERNELS_CONVOLUTION_INPUT_COTANGENT:
    case KERNELS_CONVOLUTION_PARAMETER_COTANGENTS: return multiply_adds_of_example(o);
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

static int threads_for(double work, int64_t pieces, int allowed) {
  double useful = work / work_of_thread;
  int64_t threads = useful < allowed ? (int64_t)useful : allowed;
  if (threads > pieces) threads = pieces;
  return threads > 1 ? (int)threads : 1;
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* MARK: Regions
 *
 * Operations that run block of rows by block: each thread does some rows, and with a block of them all operations, one
 * after the other, while it stays in the caches. In this order, each where it is there: operations by rows, all of as many;
 * the convolutions of one layer, which read what the last of those wrote, and whose examples then are the rows, those of a
 * part a block; and sums of what was written last, for which nothing in the region waits. */

/* Without the form in which it is kept. */
static uint64_t place_of(const kernels_operation *o, int index) { return o->operands[index] & ~(3ull << 62); }

/* Of what an operation by rows writes, or sums up. */
static int64_t elements_of(const kernels_operation *o) { return o->rows * row_length(o, 0); }

/* Whether a convolution begins with the images that an operation by rows wrote, all of them. */
static bool convolves(const kernels_operation *o, const kernels_operation *rows) {
  int64_t inputs = o->rows * (int64_t)(o->scalars[0] * o->scalars[1]) * o->inner;
  int64_t outputs = o->rows * (int64_t)(o->scalars[2] * o->scalars[3]) * o->columns;
  uint64_t place = place_of(rows, 0);
  if (rows->rows % o->rows != 0) return false;
  switch (o->code) {
    case KERNELS_CONVOLUTION: return place_of(o, 1) == place && elements_of(rows) == inputs;
    case KERNELS_CONVOLUTION_INPUT_COTANGENT: return place_of(o, 1) == place && elements_of(rows) == outputs;
    default:
      return (place_of(o, 2) == place && elements_of(rows) == outputs)
          || (place_of(o, 3) == place && elements_of(rows) == inputs);
  }
}

/* Whether two convolutions are of the same pass of one layer. */
static bool belong_together(const kernels_operation *a, const kernels_operation *b) {
  if (a->code == KERNELS_CONVOLUTION) {
    return b->code == KERNELS_CONVOLUTION && b->scalars[7] != 0 && place_of(a, 0) == place_of(b, 0);
  }
  return a->code == KERNELS_CONVOLUTION_PARAMETER_COTANGENTS && b->code == KERNELS_CONVOLUTION_INPUT_COTANGENT
      && place_of(a, 2) == place_of(b, 1);
}

/* Whether sums are of the images that an operation wrote, all of them. */
static bool sums_up(const kernels_operation *o, const kernels_operation *written) {
  int64_t elements = elements_of(written);
  if (written->code == KERNELS_CONVOLUTION) elements *= (int64_t)(written->scalars[2] * written->scalars[3]);
  if (written->code == KERNELS_CONVOLUTION_INPUT_COTANGENT) {
    elements = written->rows * (int64_t)(written->scalars[0] * written->scalars[1]) * written->inner;
  }
  return place_of(o, 0) == place_of(written, 0) && elements_of(o) == elements && o->rows % written->rows == 0;
}

static int64_t end_of_region(const kernels_operation *operations, int64_t first, int64_t count) {
  const kernels_operation *begin = operations + first, *end = begin + 1, *o = begin, *last = 0;
  while (end < operations + count && !end->begins_region) end++;
  for (; o < end && kind_of(o) == BY_ROWS && o->rows == begin->rows; o++) {
    if (o->joined != KERNELS_JOINED_AWAY) last = o;
  }
  int64_t convolutions = 0;
  if (o < end && kind_of(o) == CONVOLUTION) {
    convolutions = o + 1 < end && kind_of(o + 1) == CONVOLUTION && belong_together(o, o + 1) ? 2 : 1;
    bool joins = last && (convolves(o, last) || convolves(o + convolutions - 1, last));
    if (o > begin && !joins) convolutions = 0;
  }
  if (convolutions > 0) {
    o += convolutions;
    last = o - 1;
    // A derivative that the sums take in.
    while (o < end && o->joined == KERNELS_JOINED_AWAY) o++;
  }
  if (o < end && kind_of(o) == SUMS_BY_ROWS && (!last || sums_up(o, last))) o++;
  return o - operations;
}

/* MARK: Planning */

/* Whether an operation after the one at `index` has something to do with what stands there. */
static bool is_used_after(const kernels_operation *operations, int64_t count, int64_t index, uint64_t place) {
  for (int64_t i = index + 1; i < count; i++) {
    for (int k = 0; k < KERNELS_OPERANDS; k++) {
      if (operations[i].operands[k] == place) return true;
    }
  }
  return false;
}

/* Joins products and normalisations with the ReLU behind them. What they alone would have stored is then not stored: the
 * derivative looks at the output. */
static void join_activations(kernels_operation *operations, int64_t count) {
  for (int64_t i = 0; i + 1 < count; i++) {
    kernels_operation *p = &operations[i], *a = &operations[i + 1];
    bool is_relu = (a->code == KERNELS_ACTIVATION || a->code == KERNELS_ACTIVATION_DERIVATIVE)
        && (a->option == KERNELS_RELU || a->option == KERNELS_LEAKY_RELU);
    if (!is_relu || a->operands[1] != p->operands[0] || kernels_is_large_product(p)) continue;
    bool overwrites = a->operands[0] == p->operands[0];
    if (!overwrites && is_used_after(operations, count, i + 1, p->operands[0])) continue;
    if (a->code == KERNELS_ACTIVATION) {
      if (p->code != KERNELS_NORMALIZATION && (p->code != KERNELS_DENSE || !needs_transpose(p))) continue;
      p->joined = KERNELS_JOINED_ACTIVATION;
    } else {
      bool is_joinable = p->code == KERNELS_DENSE_INPUT_COTANGENT
          || (p->code == KERNELS_DENSE_TANGENT && needs_transpose(p));
      if (!is_joinable) continue;
      p->joined = KERNELS_JOINED_DERIVATIVE;
      p->operands[7] = a->operands[3];
    }
    p->operands[0] = a->operands[0];
    p->scalars[0] = a->option == KERNELS_RELU ? 0 : a->scalars[0];
    a->joined = KERNELS_JOINED_AWAY;
  }
}

/* Whether the value that stands in a place after the operation at `index` is read by a later one. */
static bool is_read_after(const kernels_operation *operations, int64_t count, int64_t index, uint64_t place) {
  for (int64_t i = index + 1; i < count; i++) {
    const kernels_operation *o = &operations[i];
    for (int k = 1; k < KERNELS_OPERANDS; k++) {
      if (o->operands[k] == place) return true;
    }
    if (o->operands[0] != place) continue;
    switch (o->code) {
      case KERNELS_FILL:
      case KERNELS_COPY:
      case KERNELS_SUM:
      case KERNELS_ACTIVATION:
      case KERNELS_ACTIVATION_DERIVATIVE:
      case KERNELS_NORMALIZATION:
      case KERNELS_NORMALIZATION_BACKWARD:
      case KERNELS_CONVOLUTION_INPUT_COTANGENT: return false;
      default: return true;
    }
  }
  return false;
}

/* Joins the derivative of a ReLU with the backward of the normalisation before it, in both parts. What the derivative alone
 * would have stored is then not stored, and where the ReLU is open follows from the normalisation's input. */
static void join_derivatives(kernels_operation *operations, int64_t count) {
  for (int64_t i = 0; i + 2 < count; i++) {
    kernels_operation *a = &operations[i], *sums = a + 1, *backward = a + 2;
    uint64_t result = a->operands[0];
    bool is_triple = a->code == KERNELS_ACTIVATION_DERIVATIVE && a->option == KERNELS_RELU && !a->joined
        && sums->code == KERNELS_NORMALIZATION_BACKWARD_SUMS && backward->code == KERNELS_NORMALIZATION_BACKWARD
        && sums->operands[0] == result && backward->operands[1] == result
        && a->rows * a->columns == sums->rows * sums->columns && has_own_form(sums)
        && is_bfloat16(sums, 0) == is_bfloat16(sums, 1) && is_bfloat16(backward, 0) == is_bfloat16(backward, 1);
    if (!is_triple || (backward->operands[0] != result && is_read_after(operations, count, i + 2, result))) continue;
    sums->operands[0] = backward->operands[1] = a->operands[1];
    sums->joined = backward->joined = KERNELS_JOINED_DERIVATIVE;
    a->joined = KERNELS_JOINED_AWAY;
  }
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* Sums over pixels are those of a dense layer over as many rows. */
static kernels_operation bias_sums_of(const kernels_operation *o) {
  kernels_operation sums = *o;
  sums.code = KERNELS_DENSE_PARAMETER_COTANGENTS;
  // The form of the images on the other side does not matter.
  sums.operands[0] = sums.operands[3] = 0;
  sums.inner = (int64_t)(o->scalars[2] * o->scalars[3]);
  sums.rows = o->rows * sums.inner;
  return sums;
}

/* Whether the bias of a convolution has a cotangent, which is summed up apart. */
static bool sums_bias(const kernels_operation *o) {
  return o->code == KERNELS_CONVOLUTION_PARAMETER_COTANGENTS && o->operands[1];
}

static bool reads_weights(const kernels_operation *o) {
  return o->code == KERNELS_CONVOLUTION || o->code == KERNELS_CONVOLUTION_INPUT_COTANGENT;
}

/* Makes the convolutions of a region, of which a part is the same examples to each. Returns the floats of scratch memory
 * that a thread needs for them, or -1. */
static int64_t make_convolutions(kernels_operation *operations, int64_t count, int allowed) {
  double cost = 0;
  int64_t rows = 0, examples = 1, scratch = 0;
  for (int64_t i = 0; i < count; i++) {
    const kernels_operation *o = &operations[i];
    cost += cost_of_row(o) * (double)o->rows;
    if (kind_of(o) != CONVOLUTION) continue;
    rows = o->rows;
    examples = larger(examples, kernels_examples_of_part(o));
  }
  int threads = threads_for(cost, rows, allowed);
  int64_t of_thread = (rows + threads - 1) / threads, parts = (of_thread + examples - 1) / examples;
  for (int64_t i = 0; i < count; i++) {
    kernels_operation *o = &operations[i];
    if (kind_of(o) != CONVOLUTION) continue;
    int64_t needed = kernels_make_convolution(o, threads, (of_thread + parts - 1) / parts);
    if (needed < 0) return -1;
    kernels_operation sums = bias_sums_of(o);
    if (sums_bias(o)) needed = larger(needed, sums_room(&sums));
    scratch = larger(scratch, padded(needed));
    o->scratch = 0;
  }
  // What must stay from one part to the next stands behind what convolutions take turns in.
  for (int64_t i = 0; i < count; i++) {
    if (kind_of(&operations[i]) != CONVOLUTION || reads_weights(&operations[i])) continue;
    kernels_put_weights_of_convolution(&operations[i], scratch);
    scratch += kernels_weights_of_convolution(&operations[i]);
  }
  return scratch;
}

/* Floats of scratch memory that an operation by rows, by columns or by chunks needs of each thread. */
static int64_t room_of(const kernels_operation *o) {
  switch (o->code) {
    case KERNELS_DENSE: return needs_transpose(o) ? padded(o->columns) * o->inner : 0;
    case KERNELS_DENSE_TANGENT: return needs_transpose(o) ? 2 * padded(o->columns) * o->inner : 0;
    // For the weight and the bias.
    case KERNELS_DENSE_PARAMETER_COTANGENTS: return padded((o->inner + 1) * o->columns);
    default: return sums_room(o) + column_maps_room(o) + (is_summed_by_rows(o) ? 0 : widened_room(o));
  }
}

int64_t kernels_plan(kernels_operation *operations, int64_t count, int32_t threads) {
  int64_t most = 0;
  join_activations(operations, count);
  join_derivatives(operations, count);
  for (int64_t i = 0; i < count;) {
    bool is_product = kind_of(&operations[i]) == LARGE_PRODUCT;
    int64_t end = is_product ? i + 1 : end_of_region(operations, i, count);
    if (end == i) end++;
    double cost = cost_of_row(&operations[i]) * (double)operations[i].rows;
    int64_t library = is_product ? kernels_make_products(&operations[i], threads_for(cost, threads, threads))
                                 : make_convolutions(&operations[i], end - i, threads);
    if (library < 0) {
      kernels_unplan(operations, end);
      return -1;
    }
    // Regions and products run one after the other, and take turns. Behind what the library needs stands the operations' own.
    int64_t scratch = padded(library);
    for (; i < end; i++) {
      if (is_product || kind_of(&operations[i]) == CONVOLUTION) continue;
      operations[i].scratch = scratch;
      scratch += room_of(&operations[i]);
    }
    most = larger(most, scratch);
  }
  for (int64_t i = 0, weights = 0; i < count; i++) {
    if (!reads_weights(&operations[i])) continue;
    weights += kernels_weights_of_convolution(&operations[i]);
    kernels_put_weights_of_convolution(&operations[i], -weights);
  }
  return most;
}

int64_t kernels_weights(const kernels_operation *operations, int64_t count) {
  int64_t weights = 0;
  for (int64_t i = 0; i < count; i++) {
    if (reads_weights(&operations[i])) weights += kernels_weights_of_convolution(&operations[i]);
  }
  return weights;
}

void kernels_unplan(kernels_operation *operations, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    kernels_operation *o = &operations[i];
    kernels_is_convolution(o) ? kernels_free_convolution(o) : kernels_free_products(o);
  }
}

/* MARK: Times */

static kernels_profile *profile;

void kernels_take_times(kernels_profile *p) { profile = p; }

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

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void take_time(const kernels_operation *o, double rows, double start) {
  if (!profile) return;
  bool has_two = o->code == KERNELS_DENSE_TANGENT && o->operands[1];
  profile->seconds[o->code] += now() - start;
  profile->calls[o->code]++;
  bool is_large = kind_of(o) == LARGE_PRODUCT || kind_of(o) == CONVOLUTION;
  double *work = is_large ? profile->large_work : profile->work;
  double of_row = (double)o->columns * (is_dense(o) ? (double)o->inner * (has_two ? 2 : 1) : 1);
  work[o->code] += rows * (kernels_is_convolution(o) ? multiply_adds_of_example(o) : of_row);
}

static void take_waiting(double start) {
  if (!profile) return;
  profile->waiting += now() - start;
  profile->regions++;
}

/* MARK: Running */

typedef struct {
  const kernels_operation *operations;
  int64_t count;
  kernels_run *run;
  /* Of which each operation has as many or a multiple: examples, where there are convolutions. */
  int64_t rows;
  kernels_division division;
  /* When the first thread was done. */
  double end_of_first;
} region;

static void fail(kernels_run *run) { __atomic_store_n(&run->failed, true, __ATOMIC_RELAXED); }

static float *scratch_of(const region *r, const kernels_operation *o, int thread) {
  return r->run->scratch ? r->run->scratch + thread * r->run->scratch_count + o->scratch : 0;
}

/* The rows of a thread, from the first to the one behind the last. */
static int64_t start_of_thread(const region *r, int thread) {
  return smaller(r->rows, thread * r->division.rows_of_thread);
}

static int64_t rows_of_each(const region *r, const kernels_operation *o) {
  return o->rows == r->rows ? 1 : o->rows / r->rows;
}

/* An operation on some rows of the region. */
static void run_block(region *r, const kernels_operation *o, int thread, int64_t start, int64_t end) {
  const kernels_loops *loops = kernels_chosen_loops();
  float *scratch = scratch_of(r, o, thread);
  int64_t each = rows_of_each(r, o);
  if (kernels_is_convolution(o)) {
    int part = (int)(start / r->division.rows_of_block);
    if (!kernels_run_part_of_convolution(o, r->run, thread, part)) fail(r->run);
  } else if (is_summed_by_rows(o)) {
    loops->partial_sums(o, r->run, scratch, start_of_thread(r, thread) * each, start * each, end * each);
  } else {
    loops->rows(o, r->run, scratch, thread, start * each, end * each);
  }
}

static void run_rows(void *argument, int thread) {
  region *r = argument;
  bool is_timed = profile && thread == 0;
  int64_t first = start_of_thread(r, thread), last = start_of_thread(r, thread + 1);
  for (int64_t i = 0; i < r->count; i++) {
    const kernels_operation *o = &r->operations[i];
    double begin = is_timed ? now() : 0;
    kernels_chosen_loops()->prepare(o, r->run, scratch_of(r, o, thread), thread);
    if (is_timed) take_time(o, 0, begin);
  }
  for (int64_t start = first; start < last; start += r->division.rows_of_block) {
    int64_t end = smaller(last, start + r->division.rows_of_block);
    for (int64_t i = 0; i < r->count; i++) {
      const kernels_operation *o = &r->operations[i];
      if (o->joined == KERNELS_JOINED_AWAY) continue;
      double begin = is_timed ? now() : 0;
      run_block(r, o, thread, start, end);
      if (!is_timed) continue;
      // Of convolutions the work of all threads is counted.
      double share = kernels_is_convolution(o) ? (double)r->rows / (double)(last - first) : 1;
      take_time(o, (double)((end - start) * rows_of_each(r, o)) * share, begin);
    }
  }
  if (is_timed) r->end_of_first = now();
}

/* What follows when all threads are done, in their order: sums and parameter cotangents are added up. */
static void finish(region *r, const kernels_operation *o) {
  const kernels_loops *loops = kernels_chosen_loops();
  int threads = r->division.threads;
  if (kernels_is_convolution(o)) {
    if (!kernels_end_convolution(o, r->run)) fail(r->run);
  } else if (is_summed_by_rows(o)) {
    int64_t each = rows_of_each(r, o);
    float *total = scratch_of(r, o, 0);
    for (int thread = 1; thread < threads; thread++) {
      int64_t start = start_of_thread(r, thread), rows = start_of_thread(r, thread + 1) - start;
      if (rows > 0) loops->add_sums(o, r->run, start * each, rows * each, scratch_of(r, o, thread), total);
    }
    loops->finish_sums(o, r->run, total);
  } else if (o->code == KERNELS_DENSE_PARAMETER_COTANGENTS) {
    int64_t weights = o->inner * o->columns;
    for (int thread = 1; thread < threads; thread++) {
      const float *partial = scratch_of(r, o, thread);
      loops->reduce(weights, operand(o, r->run, 0), partial);
      if (o->operands[1]) loops->reduce(o->columns, operand(o, r->run, 1), partial + weights);
    }
  }
}

static region region_of(const kernels_operation *operations, int64_t count, kernels_run *run, int allowed) {
  double cost = 0;
  int64_t widest = 1;
  bool has_products = false;
  region r = {operations, count, run, 0, {1, 0, 96}, 0};
  for (int64_t i = 0; i < count; i++) {
    const kernels_operation *o = &operations[i];
    if (kernels_is_convolution(o)) {
      r.rows = o->rows;
      r.division = kernels_division_of_convolution(o);
      return r;
    }
    // What was joined to sums behind may have other rows.
    if (!r.rows && (o->joined != KERNELS_JOINED_AWAY || i == count - 1)) r.rows = o->rows;
    cost += cost_of_row(o);
    has_products |= is_dense(o);
    if (o->columns > widest) widest = o->columns;
  }
  kernels_division *d = &r.division;
  d->threads = threads_for(cost * (double)r.rows, (r.rows + 15) / 16, allowed);
  // Whole cache lines for each thread, and whole examples, where sums begin with one; blocks that stay in the first-level
  // cache from one operation to the next.
  const kernels_operation *last = &operations[count - 1];
  int64_t unit = is_summed_by_rows(last) && has_blocks(last) ? last->inner : 16;
  d->rows_of_thread = r.rows;
  if (d->threads > 1) d->rows_of_thread = ((r.rows + d->threads - 1) / d->threads + unit - 1) / unit * unit;
  if (!has_products && 8192 / widest > 48) d->rows_of_block = 8192 / widest;
  // Sums alone.
  if (is_summed_by_rows(operations)) d->rows_of_block = d->rows_of_thread;
  return r;
}

static void run_columns(void *argument, int thread) {
  const region *r = argument;
  int64_t first = start_of_thread(r, thread), last = start_of_thread(r, thread + 1);
  if (first < last) kernels_chosen_loops()->columns(r->operations, r->run, first, last);
}

/* Each thread sums up some columns. */
static void run_by_columns(const kernels_operation *operation, kernels_run *run) {
  int64_t columns = operation->columns;
  region r = {operation, 1, run, columns, {1, 0, 0}, 0};
  r.division.threads = threads_for((double)(operation->rows * columns) * 20, (columns + 15) / 16, run->threads);
  r.division.rows_of_thread = (((columns + r.division.threads - 1) / r.division.threads) + 15) & ~(int64_t)15;
  kernels_parallel(r.division.threads, run_columns, &r);
}

static void run_region(const kernels_operation *operations, int64_t count, kernels_run *run) {
  region r = region_of(operations, count, run, run->threads);
  kernels_parallel(r.division.threads, run_rows, &r);
  if (r.division.threads > 1) take_waiting(r.end_of_first);
  for (int64_t i = 0; i < count; i++) {
    const kernels_operation *o = &operations[i];
    finish(&r, o);
    if (!sums_bias(o)) continue;
    kernels_operation sums = bias_sums_of(o);
    if (is_summed_by_rows(&sums)) run_region(&sums, 1, run); else run_by_columns(&sums, run);
  }
}

/* Sums are made of chunks whose size depends on the count alone. */
enum { CHUNKS = 256, CHUNK = 16384 };

typedef struct {
  const kernels_operation *operation;
  const kernels_run *run;
  int threads;
  int64_t count, size, chunks;
  double partials[CHUNKS];
} chunked;

static void run_chunks(void *argument, int thread) {
  chunked *c = argument;
  int64_t each = (c->chunks + c->threads - 1) / c->threads;
  for (int64_t i = thread * each; i < smaller(c->chunks, (thread + 1) * each); i++) {
    c->partials[i] =
        kernels_chosen_loops()->chunk(c->operation, c->run, i * c->size, smaller(c->count, (i + 1) * c->size));
  }
}

static void run_by_chunks(const kernels_operation *operation, kernels_run *run) {
  int64_t count = operation->rows * operation->columns;
  if (count <= CHUNK) {
    run->result = kernels_chosen_loops()->chunk(operation, run, 0, count);
    return;
  }
  chunked c = {operation, run, 1, count, CHUNK, 0, {0}};
  while (c.size * CHUNKS < c.count) c.size *= 2;
  c.chunks = (c.count + c.size - 1) / c.size;
  c.threads = threads_for((double)c.count * 8, c.chunks, run->threads);
  kernels_parallel(c.threads, run_chunks, &c);
  run->result = 0;
  for (int64_t i = 0; i < c.chunks; i++) run->result += c.partials[i];
}

int32_t kernels_threads(const kernels_operation *operations, int64_t count, int32_t allowed) {
  int32_t most = 1;
  for (int64_t i = 0; i < count;) {
    const kernels_operation *o = &operations[i];
    int64_t end = end_of_region(operations, i, count);
    int threads = 1;
    if (end > i) {
      threads = region_of(o, end - i, 0, allowed).division.threads;
    } else if (kind_of(o) == LARGE_PRODUCT) {
      threads = kernels_threads_of_products(o);
    }
    for (int64_t j = i; j < end; j++) {
      if (!sums_bias(&operations[j])) continue;
      kernels_operation sums = bias_sums_of(&operations[j]);
      if (is_summed_by_rows(&sums)) threads = (int)larger(threads, region_of(&sums, 1, 0, allowed).division.threads);
    }
    if (threads > most) most = threads;
    i = end > i ? end : i + 1;
  }
  return most;
}

/* oneDNN's, or, where that has no memory, the loops on this thread. */
static void run_large_product(const kernels_operation *o, kernels_run *run) {
  if (kernels_run_products(o, run)) {
    if (o->code == KERNELS_DENSE_PARAMETER_COTANGENTS && o->operands[1]) run_by_columns(o, run);
    return;
  }
  float *scratch = run->scratch + o->scratch;
  kernels_chosen_loops()->prepare(o, run, scratch, 0);
  kernels_chosen_loops()->rows(o, run, scratch, 0, 0, o->rows);
}

typedef struct {
  const kernels_operation *operations;
  int64_t count;
  kernels_run *run;
  int64_t next;
} beginning;

static void begin_some(void *argument, int thread) {
  beginning *b = argument;
  for (int64_t i; (i = __atomic_fetch_add(&b->next, 1, __ATOMIC_RELAXED)) < b->count;) {
    const kernels_operation *o = &b->operations[i];
    if (reads_weights(o) && !kernels_begin_convolution(o, b->run, thread)) fail(b->run);
  }
}

/* Puts the weights of all convolutions where they want them: a thread alone would let the others wait before each. */
static void begin_convolutions(const kernels_operation *operations, int64_t count, kernels_run *run) {
  int threads = 0;
  for (int64_t i = 0; i < count; i++) {
    if (reads_weights(&operations[i])) threads = (int)larger(threads, kernels_division_of_convolution(&operations[i]).threads);
  }
  if (!threads) return;
  beginning b = {operations, count, run, 0};
  kernels_parallel(threads, begin_some, &b);
}

static bool runs_generated_code(const kernels_operation *operations, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    if (kernels_is_large_product(&operations[i]) || kernels_is_convolution(&operations[i])) return true;
  }
  return false;
}

void kernels_execute(const kernels_operation *operations, int64_t count, kernels_run *run) {
  kernels_enter();
  sigset_t signals;
  bool holds_signals = runs_generated_code(operations, count);
  // Generated code may use the stack pointer for other purposes: a signal's handler would write over the data that it
  // points to.
  if (holds_signals) platform_hold_signals(&signals);
  begin_convolutions(operations, count, run);
  for (int64_t i = 0; i < count;) {
    const kernels_operation *o = &operations[i];
    int64_t end = end_of_region(operations, i, count);
    if (end > i) {
      run_region(o, end - i, run);
      i = end;
      continue;
    }
    double begin = profile ? now() : 0;
    switch (kind_of(o)) {
      case BY_COLUMNS: run_by_columns(o, run); break;
      case BY_CHUNKS: run_by_chunks(o, run); break;
      default: run_large_product(o, run);
    }
    take_time(o, (double)o->rows, begin);
    i++;
  }
  if (holds_signals) platform_release_signals(&signals);
  kernels_leave();
}

bool kernels_execute_one(const kernels_operation *operation, kernels_run *run) {
  bool needs_plan = is_dense(operation) || kernels_is_convolution(operation) || is_normalization(operation)
      || is_summed_by_rows(operation);
  if (!needs_plan && !has_own_form(operation)) {
    kernels_execute(operation, 1, run);
    return true;
  }
  kernels_operation planned = *operation;
  run->scratch_count = kernels_plan(&planned, 1, run->threads);
  if (run->scratch_count < 0) return false;
  int64_t weights = kernels_weights(&planned, 1);
  void *scratch = 0;
  size_t floats = (size_t)(weights + run->scratch_count * run->threads + 16);
  bool has_room = posix_memalign(&scratch, 64, floats * sizeof(float)) == 0;
  run->scratch = (float *)scratch + weights;
  if (has_room) kernels_execute(&planned, 1, run);
  free(scratch);
  kernels_unplan(&planned, 1);
  return has_room && !run->failed;
}

/* MARK: The instruction set */

static const kernels_loops *chosen_loops;
static const char *chosen_name;

/* Before main, so that no thread sees it half made. */
__attribute__((constructor)) static void choose_loops(void) {
  chosen_loops = &kernels_loops_baseline;
  chosen_name = "baseline";
#if defined(__x86_64__)
  const char *most = getenv("DIDACT_MAX_CPU_ISA");
  __builtin_cpu_init();
  bool is_limited = most && (!strcasecmp(most, "avx2") || !strcasecmp(most, "baseline"));
  if (!is_limited && __builtin_cpu_supports("x86-64-v4")) {
    chosen_loops = &kernels_loops_avx512;
    chosen_name = "avx512";
  } else if ((!is_limited || !strcasecmp(most, "avx2")) && __builtin_cpu_supports("x86-64-v3")) {
    chosen_loops = &kernels_loops_avx2;
    chosen_name = "avx2";
  }
#endif
}

const kernels_loops *kernels_chosen_loops(void) { return chosen_loops; }
const kernels_pixel_loops *kernels_pixels(void) { return &chosen_loops->pixels; }
const char *kernels_instruction_set(void) { return chosen_name; }
