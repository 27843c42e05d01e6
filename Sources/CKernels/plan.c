/* How operations run: which of them share a parallel region, on how many threads, over which blocks of rows. */
#include "internal.h"

#include <stdlib.h>
#include <strings.h>
#include <time.h>

typedef enum { BY_ROWS, BY_COLUMNS, BY_CHUNKS, LARGE_PRODUCT } kind;

static kind kind_of(const kernels_operation *o) {
  switch (o->code) {
    case KERNELS_NORMALIZATION_STATISTICS:
    case KERNELS_NORMALIZATION_BACKWARD_SUMS:
    case KERNELS_NORMALIZATION_TANGENT_SUMS: return BY_COLUMNS;
    case KERNELS_DOT:
    case KERNELS_ALL_FINITE:
    case KERNELS_CONVERT: return BY_CHUNKS;
    default: return kernels_is_large_product(o) || kernels_is_convolution(o) ? LARGE_PRODUCT : BY_ROWS;
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

/* The operations from `first` on that can share a region: all by rows, of the same rows. */
static int64_t end_of_region(const kernels_operation *operations, int64_t first, int64_t count) {
  int64_t end = first + 1;
  while (end < count && kind_of(&operations[end]) == BY_ROWS && operations[end].rows == operations[first].rows) end++;
  return end;
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

/* Whether the bias of a convolution has a cotangent, which is summed up apart. */
static bool sums_bias(const kernels_operation *o) {
  return o->code == KERNELS_CONVOLUTION_PARAMETER_COTANGENTS && o->operands[1];
}

/* Floats that each thread needs to sum up what is kept as bfloat16 or in blocks: two sums a column in float64, and behind
 * them what a joined derivative is found by. */
static int64_t room_for_sums(const kernels_operation *o) {
  return has_own_form(o) ? padded(4 * o->columns) + gate_room(o) : 0;
}

int64_t kernels_plan(kernels_operation *operations, int64_t count, int32_t threads) {
  int64_t scratch = 0, library = 0;
  join_activations(operations, count);
  join_derivatives(operations, count);
  for (int64_t i = 0; i < count; i++) {
    kernels_operation *o = &operations[i];
    o->scratch = scratch;
    if (kind_of(o) == LARGE_PRODUCT) {
      int64_t needed = kernels_make_products(o, threads_for(cost_of_row(o) * (double)o->rows, threads, threads));
      if (needed < 0) {
        kernels_unplan(operations, i);
        return -1;
      }
      if (sums_bias(o) && needed < room_for_sums(o)) needed = room_for_sums(o);
      // Products run one after the other, and may share what they scribble on.
      library = needed > library ? needed : library;
    } else if (o->code == KERNELS_DENSE && needs_transpose(o)) {
      scratch += padded(o->columns) * o->inner;
    } else if (o->code == KERNELS_DENSE_TANGENT && needs_transpose(o)) {
      scratch += 2 * padded(o->columns) * o->inner;
    } else if (o->code == KERNELS_DENSE_PARAMETER_COTANGENTS) {
      // Of each thread, for the weight and the bias.
      scratch += padded((o->inner + 1) * o->columns);
    } else if (kind_of(o) == BY_COLUMNS) {
      scratch += room_for_sums(o);
    } else {
      scratch += column_maps_room(o) + widened_room(o);
    }
  }
  for (int64_t i = 0; i < count; i++) {
    if (kind_of(&operations[i]) == LARGE_PRODUCT) operations[i].scratch = scratch;
  }
  return scratch + padded(library);
}

void kernels_unplan(kernels_operation *operations, int64_t count) {
  for (int64_t i = 0; i < count; i++) kernels_free_products(&operations[i]);
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

static void take_time(const kernels_operation *o, int64_t rows, double start) {
  if (!profile) return;
  bool has_two = o->code == KERNELS_DENSE_TANGENT && o->operands[1];
  profile->seconds[o->code] += now() - start;
  profile->calls[o->code]++;
  double *work = kind_of(o) == LARGE_PRODUCT ? profile->large_work : profile->work;
  double of_row = (double)o->columns * (is_dense(o) ? (double)o->inner * (has_two ? 2 : 1) : 1);
  work[o->code] += (double)rows * (kernels_is_convolution(o) ? multiply_adds_of_example(o) : of_row);
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
  int threads;
  int64_t rows_of_thread, rows_of_block;
  /* When the first thread was done. */
  double end_of_first;
} region;

static void run_rows(void *argument, int thread) {
  region *r = argument;
  bool is_timed = profile && thread == 0;
  const kernels_loops *loops = kernels_chosen_loops();
  float *scratch = r->run->scratch ? r->run->scratch + thread * r->run->scratch_count : 0;
  int64_t rows = r->operations[0].rows, first = thread * r->rows_of_thread;
  int64_t last = smaller(rows, first + r->rows_of_thread);
  for (int64_t i = 0; i < r->count; i++) {
    double begin = is_timed ? now() : 0;
    loops->prepare(&r->operations[i], r->run, scratch + r->operations[i].scratch, thread);
    if (is_timed) take_time(&r->operations[i], 0, begin);
  }
  for (int64_t start = first; start < last; start += r->rows_of_block) {
    int64_t end = smaller(last, start + r->rows_of_block);
    for (int64_t i = 0; i < r->count; i++) {
      if (r->operations[i].joined == KERNELS_JOINED_AWAY) continue;
      double begin = is_timed ? now() : 0;
      loops->rows(&r->operations[i], r->run, scratch + r->operations[i].scratch, thread, start, end);
      if (is_timed) take_time(&r->operations[i], end - start, begin);
    }
  }
  if (is_timed) r->end_of_first = now();
}

/* Parameter cotangents of the other threads to those of the first, in the order of the threads. */
static void reduce(const region *r) {
  const kernels_loops *loops = kernels_chosen_loops();
  for (int64_t i = 0; i < r->count; i++) {
    const kernels_operation *o = &r->operations[i];
    if (o->code != KERNELS_DENSE_PARAMETER_COTANGENTS) continue;
    int64_t weights = o->inner * o->columns;
    for (int thread = 1; thread < r->threads; thread++) {
      const float *partial = r->run->scratch + thread * r->run->scratch_count + o->scratch;
      loops->reduce(weights, operand(o, r->run, 0), partial);
      if (o->operands[1]) loops->reduce(o->columns, operand(o, r->run, 1), partial + weights);
    }
  }
}

static region region_of(const kernels_operation *operations, int64_t count, kernels_run *run, int allowed) {
  double cost = 0;
  int64_t widest = 1;
  bool has_products = false;
  for (int64_t i = 0; i < count; i++) {
    cost += cost_of_row(&operations[i]);
    has_products |= is_dense(&operations[i]);
    if (operations[i].columns > widest) widest = operations[i].columns;
  }
  int64_t rows = operations[0].rows;
  region r = {operations, count, run, 1, rows, 96, 0};
  r.threads = threads_for(cost * (double)rows, (rows + 15) / 16, allowed);
  // Whole cache lines for each thread; blocks that stay in the first-level cache from one operation to the next.
  if (r.threads > 1) r.rows_of_thread = (((rows + r.threads - 1) / r.threads) + 15) & ~(int64_t)15;
  if (!has_products && 8192 / widest > 48) r.rows_of_block = 8192 / widest;
  return r;
}

static void run_region(const kernels_operation *operations, int64_t count, kernels_run *run) {
  region r = region_of(operations, count, run, run->threads);
  kernels_parallel(r.threads, run_rows, &r);
  if (r.threads > 1) take_waiting(r.end_of_first);
  reduce(&r);
}

static void run_columns(void *argument, int thread) {
  const region *r = argument;
  int64_t columns = r->operations->columns, first = thread * r->rows_of_thread;
  int64_t last = smaller(columns, first + r->rows_of_thread);
  if (first < last) kernels_chosen_loops()->columns(r->operations, r->run, first, last);
}

/* Many rows of few columns, as of images: each thread sums up some rows, which it reads as they lie. */
enum { SUMMED_ROWS = 4096, SUMMED_COLUMNS = 256, SUMMING_THREADS = 16 };

typedef struct {
  const kernels_operation *operation;
  const kernels_run *run;
  int64_t rows_of_thread;
  double sums[SUMMING_THREADS][2 * SUMMED_COLUMNS];
} summing;

static bool is_summed_by_rows(const kernels_operation *o) {
  bool is_sum = o->code != KERNELS_NORMALIZATION_STATISTICS || o->option != 0;
  bool is_bias = o->code == KERNELS_DENSE_PARAMETER_COTANGENTS;
  bool has_many = !is_bias && o->rows >= SUMMED_ROWS && o->columns <= SUMMED_COLUMNS;
  return is_sum && (has_many || has_own_form(o));
}

static int summing_threads(const kernels_operation *o, int allowed) {
  return threads_for(
      (double)(o->rows * o->columns) * 4, o->rows, allowed < SUMMING_THREADS ? allowed : SUMMING_THREADS);
}

/* Those of bfloat16 or in blocks are not limited to few columns. */
static double *sums_of(summing *s, int thread) {
  const kernels_run *run = s->run;
  if (!has_own_form(s->operation)) return s->sums[thread];
  return (double *)(run->scratch + thread * run->scratch_count + s->operation->scratch);
}

static void run_sums(void *argument, int thread) {
  summing *s = argument;
  int64_t first = thread * s->rows_of_thread, last = smaller(s->operation->rows, first + s->rows_of_thread);
  double *sums = sums_of(s, thread);
  memset(sums, 0, (size_t)s->operation->columns * 2 * sizeof(double));
  if (first < last) kernels_chosen_loops()->partial_sums(s->operation, s->run, first, last, sums);
}

static void run_summed_by_rows(const kernels_operation *o, kernels_run *run) {
  summing s;
  s.operation = o;
  s.run = run;
  int threads = summing_threads(o, run->threads);
  s.rows_of_thread = (o->rows + threads - 1) / threads;
  kernels_parallel(threads, run_sums, &s);
  double *total = sums_of(&s, 0);
  for (int thread = 1; thread < threads; thread++) {
    const double *partial = sums_of(&s, thread);
    for (int64_t c = 0; c < 2 * o->columns; c++) total[c] += partial[c];
  }
  kernels_chosen_loops()->finish_sums(o, run, total);
}

static void run_by_columns(const kernels_operation *operation, kernels_run *run) {
  if (is_summed_by_rows(operation)) return run_summed_by_rows(operation, run);
  int64_t columns = operation->columns;
  region r = {operation, 1, run, 1, columns, 0, 0};
  r.threads = threads_for((double)(operation->rows * columns) * 20, (columns + 15) / 16, run->threads);
  r.rows_of_thread = (((columns + r.threads - 1) / r.threads) + 15) & ~(int64_t)15;
  kernels_parallel(r.threads, run_columns, &r);
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

int32_t kernels_threads(const kernels_operation *operations, int64_t count, int32_t allowed) {
  int32_t most = 1;
  for (int64_t i = 0; i < count;) {
    const kernels_operation *o = &operations[i];
    int64_t end = i + 1;
    int threads = 1;
    switch (kind_of(o)) {
      case BY_ROWS:
        end = end_of_region(operations, i, count);
        threads = region_of(o, end - i, 0, allowed).threads;
        break;
      case BY_COLUMNS: threads = has_own_form(o) ? summing_threads(o, allowed) : 1; break;
      case BY_CHUNKS: break;
      case LARGE_PRODUCT:
        threads = kernels_threads_of_products(o);
        if (sums_bias(o) && has_own_form(o)) {
          kernels_operation sums = bias_sums_of(o);
          int of_sums = summing_threads(&sums, allowed);
          threads = threads > of_sums ? threads : of_sums;
        }
        break;
    }
    if (threads > most) most = threads;
    i = end;
  }
  return most;
}

static void run_convolution(const kernels_operation *o, kernels_run *run) {
  if (!kernels_run_products(o, run)) run->failed = true;
  if (!sums_bias(o)) return;
  kernels_operation sums = bias_sums_of(o);
  run_by_columns(&sums, run);
}

/* oneDNN's, or, where that has no memory, the loops on this thread. */
static void run_large_product(const kernels_operation *o, kernels_run *run) {
  if (kernels_is_convolution(o)) return run_convolution(o, run);
  if (kernels_run_products(o, run)) {
    if (o->code == KERNELS_DENSE_PARAMETER_COTANGENTS && o->operands[1]) run_by_columns(o, run);
    return;
  }
  float *scratch = run->scratch + o->scratch;
  kernels_chosen_loops()->prepare(o, run, scratch, 0);
  kernels_chosen_loops()->rows(o, run, scratch, 0, 0, o->rows);
}

void kernels_execute(const kernels_operation *operations, int64_t count, kernels_run *run) {
  kernels_enter();
  for (int64_t i = 0; i < count;) {
    const kernels_operation *o = &operations[i];
    int64_t end = i + 1;
    kind kind = kind_of(o);
    double begin = profile ? now() : 0;
    switch (kind) {
      case BY_ROWS:
        end = end_of_region(operations, i, count);
        run_region(o, end - i, run);
        break;
      case BY_COLUMNS: run_by_columns(o, run); break;
      case BY_CHUNKS: run_by_chunks(o, run); break;
      case LARGE_PRODUCT: run_large_product(o, run); break;
    }
    if (kind != BY_ROWS) take_time(o, o->rows, begin);
    i = end;
  }
  kernels_leave();
}

bool kernels_execute_one(const kernels_operation *operation, kernels_run *run) {
  bool needs_plan = is_dense(operation) || kernels_is_convolution(operation) || is_normalization(operation);
  if (!needs_plan && !has_own_form(operation)) {
    kernels_execute(operation, 1, run);
    return true;
  }
  kernels_operation planned = *operation;
  run->scratch_count = kernels_plan(&planned, 1, run->threads);
  if (run->scratch_count < 0) return false;
  void *scratch = 0;
  bool has_room = posix_memalign(&scratch, 64, (size_t)(run->scratch_count * run->threads + 16) * sizeof(float)) == 0;
  run->scratch = scratch;
  if (has_room) kernels_execute(&planned, 1, run);
  free(scratch);
  kernels_unplan(&planned, 1);
  return has_room;
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
