/* How operations run: on how many threads, over which blocks of rows. */
#include "plan.h"

#include <stdlib.h>

typedef struct {
  const kernels_operation *operations;
  int64_t count;
  kernels_run *run;
  /* Each operation has as many rows as are divided here, or a multiple of them: these are examples, where there are
   * convolutions. */
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
  return smaller(r->division.rows, thread * r->division.rows_of_thread);
}

static int64_t rows_of_each(const region *r, const kernels_operation *o) {
  return o->rows == r->division.rows ? 1 : o->rows / r->division.rows;
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
  bool is_timed = kernels_current_profile && thread == 0;
  int64_t first = start_of_thread(r, thread), last = start_of_thread(r, thread + 1);
  for (int64_t i = 0; i < r->count; i++) {
    const kernels_operation *o = &r->operations[i];
    double begin = is_timed ? kernels_now() : 0;
    kernels_chosen_loops()->prepare(o, r->run, scratch_of(r, o, thread), thread);
    if (is_timed) kernels_take_time(o, 0, begin);
  }
  for (int64_t start = first; start < last; start += r->division.rows_of_block) {
    int64_t end = smaller(last, start + r->division.rows_of_block);
    for (int64_t i = 0; i < r->count; i++) {
      const kernels_operation *o = &r->operations[i];
      if (o->joined == KERNELS_JOINED_AWAY) continue;
      double begin = is_timed ? kernels_now() : 0;
      run_block(r, o, thread, start, end);
      if (!is_timed) continue;
      // The work of all threads is counted for convolutions.
      double share = kernels_is_convolution(o) ? (double)r->division.rows / (double)(last - first) : 1;
      kernels_take_time(o, (double)((end - start) * rows_of_each(r, o)) * share, begin);
    }
  }
  if (is_timed) r->end_of_first = kernels_now();
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

static void run_columns(void *argument, int thread) {
  const region *r = argument;
  int64_t first = start_of_thread(r, thread), last = start_of_thread(r, thread + 1);
  if (first < last) kernels_chosen_loops()->columns(r->operations, r->run, first, last);
}

/* Each thread sums up some columns. */
static void run_by_columns(const kernels_operation *operation, kernels_run *run) {
  int64_t columns = operation->columns;
  int threads = kernels_threads_for((double)(operation->rows * columns) * 20, (columns + 15) / 16, run->threads);
  region r = {operation, 1, run, {threads, columns, padded((columns + threads - 1) / threads), 0}, 0};
  kernels_parallel(threads, run_columns, &r);
}

static void run_region(const kernels_operation *operations, kernels_run *run) {
  int64_t count = operations->region;
  region r = {operations, count, run, operations->division, 0};
  kernels_parallel(r.division.threads, run_rows, &r);
  if (r.division.threads > 1) kernels_take_waiting(r.end_of_first);
  for (int64_t i = 0; i < count; i++) {
    const kernels_operation *o = &operations[i];
    finish(&r, o);
    if (!sums_bias(o)) continue;
    kernels_operation sums = bias_sums_of(o);
    if (!is_summed_by_rows(&sums)) {
      run_by_columns(&sums, run);
      continue;
    }
    sums.region = 1;
    sums.division = kernels_divide(&sums, 1, run->threads);
    run_region(&sums, run);
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
  c.threads = kernels_threads_for((double)c.count * 8, c.chunks, run->threads);
  kernels_parallel(c.threads, run_chunks, &c);
  run->result = 0;
  for (int64_t i = 0; i < c.chunks; i++) run->result += c.partials[i];
}

int32_t kernels_threads(const kernels_operation *operations, int64_t count, int32_t allowed) {
  int64_t most = 1;
  for (int64_t i = 0; i < count; i++) {
    const kernels_operation *o = &operations[i];
    if (o->region) most = larger(most, o->division.threads);
    if (kind_of(o) == LARGE_PRODUCT) most = larger(most, kernels_threads_of_products(o));
    if (!sums_bias(o)) continue;
    kernels_operation sums = bias_sums_of(o);
    if (is_summed_by_rows(&sums)) most = larger(most, kernels_divide(&sums, 1, allowed).threads);
  }
  return (int32_t)most;
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
    if (o->region) {
      run_region(o, run);
      i += o->region;
      continue;
    }
    double begin = kernels_current_profile ? kernels_now() : 0;
    switch (kind_of(o)) {
      case BY_COLUMNS: run_by_columns(o, run); break;
      case BY_CHUNKS: run_by_chunks(o, run); break;
      default: run_large_product(o, run);
    }
    kernels_take_time(o, (double)o->rows, begin);
    i++;
  }
  if (holds_signals) platform_release_signals(&signals);
  kernels_leave();
}

bool kernels_execute_one(kernels_operation *operation, kernels_run *run) {
  run->scratch_count = kernels_plan(operation, 1, run->threads);
  if (run->scratch_count < 0) return false;
  int64_t weights = kernels_weights(operation, 1);
  size_t floats = (size_t)(weights + run->scratch_count * run->threads);
  void *scratch = 0;
  bool has_room = floats == 0 || posix_memalign(&scratch, 64, (floats + 16) * sizeof(float)) == 0;
  run->scratch = scratch ? (float *)scratch + weights : 0;
  if (has_room) kernels_execute(operation, 1, run);
  free(scratch);
  kernels_unplan(operation, 1);
  return has_room && !run->failed;
}
