/* The thin layer over oneDNN: all that depends on its version. Written for the C interface of oneDNN 2.x (2.6 is what
 * Debian 12 has, and what is tested). */
#include "internal.h"

#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static dnnl_engine_t engine;
static dnnl_stream_t stream;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_engine(void) {
  if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success) return;
  // Programs keep their primitives; the library's own cache would keep those of every shape that ever came.
  dnnl_set_primitive_cache_capacity(64);
  if (dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) != dnnl_success) stream = 0;
}

bool kernels_is_large_product(const kernels_operation *o) {
  return o->code >= KERNELS_DENSE && o->code <= KERNELS_DENSE_TANGENT && o->rows >= KERNELS_FEW_ROWS
      && (o->columns > KERNELS_NARROW || o->inner > KERNELS_NARROW);
}

/* MARK: One product: destination[m, n] (+)= source[m, k] · weights[k, n] (+ bias[n]) */

typedef struct {
  dnnl_primitive_t primitive;
  dnnl_memory_desc_t source, weights, bias, destination, scratchpad;
  bool has_bias;
  /* That it was made for, and must run on. */
  int threads;
} product;

static void describe(dnnl_memory_desc_t *d, int64_t rows, int64_t columns, int64_t row, int64_t column) {
  dnnl_dims_t lengths = {rows, columns}, strides = {row, column};
  dnnl_memory_desc_init_by_strides(d, 2, lengths, dnnl_f32, strides);
}

/* A matrix [rows, columns] side by side, or the transpose of one [columns, rows]. */
static void describe_matrix(dnnl_memory_desc_t *d, int64_t rows, int64_t columns, bool transposed) {
  describe(d, rows, columns, transposed ? 1 : columns, transposed ? rows : 1);
}

static product *make_product(
    int64_t m, int64_t n, int64_t k, bool source_transposed, bool weights_transposed, bool has_bias, bool adds,
    int threads) {
  pthread_once(&once, make_engine);
  product *p = engine && stream ? calloc(1, sizeof *p) : 0;
  if (!p) return 0;
  describe_matrix(&p->source, m, k, source_transposed);
  describe_matrix(&p->weights, k, n, weights_transposed);
  describe_matrix(&p->bias, 1, n, false);
  describe_matrix(&p->destination, m, n, false);
  p->has_bias = has_bias;
  p->threads = threads;

  dnnl_primitive_attr_t attributes = 0;
  dnnl_post_ops_t after = 0;
  dnnl_matmul_desc_t description;
  dnnl_primitive_desc_t decided = 0;
  bool made = dnnl_primitive_attr_create(&attributes) == dnnl_success
      // Scratch memory is ours, so that a product may run on another thread than it was made on.
      && dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user) == dnnl_success
      && dnnl_post_ops_create(&after) == dnnl_success
      && (!adds || dnnl_post_ops_append_sum(after, 1) == dnnl_success)
      && dnnl_primitive_attr_set_post_ops(attributes, after) == dnnl_success
      && dnnl_matmul_desc_init(
             &description, &p->source, &p->weights, has_bias ? &p->bias : 0, &p->destination) == dnnl_success
      && dnnl_primitive_desc_create(&decided, &description, attributes, engine, 0) == dnnl_success
      && dnnl_primitive_create(&p->primitive, decided) == dnnl_success;
  if (made) p->scratchpad = *dnnl_primitive_desc_query_md(decided, dnnl_query_scratchpad_md, 0);
  dnnl_primitive_desc_destroy(decided);
  dnnl_post_ops_destroy(after);
  dnnl_primitive_attr_destroy(attributes);
  if (made) return p;
  free(p);
  return 0;
}

static int64_t scratch_of(const product *p) { return (int64_t)(dnnl_memory_desc_get_size(&p->scratchpad) + 3) / 4; }

static bool run_product(
    const product *p, const float *source, const float *weights, const float *bias, float *destination,
    float *scratch) {
  const dnnl_memory_desc_t *descriptions[] = {&p->source, &p->weights, &p->destination, &p->scratchpad, &p->bias};
  void *addresses[] = {(void *)source, (void *)weights, destination, scratch, (void *)bias};
  int names[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD, DNNL_ARG_BIAS};
  int count = p->has_bias ? 5 : 4;
  dnnl_exec_arg_t arguments[5];
  bool done = true;
  for (int i = 0; i < count; i++) {
    arguments[i].arg = names[i];
    arguments[i].memory = 0;
    done &= dnnl_memory_create(&arguments[i].memory, descriptions[i], engine, addresses[i]) == dnnl_success;
  }
  done = done && dnnl_primitive_execute(p->primitive, stream, count, arguments) == dnnl_success;
  for (int i = 0; i < count; i++) dnnl_memory_destroy(arguments[i].memory);
  return done;
}

/* MARK: The products of a dense layer */

typedef struct {
  kernels_operation *operation;
  int threads;
} making;

static void make_products(void *argument) {
  const making *making = argument;
  kernels_operation *o = making->operation;
  int threads = making->threads;
  int64_t rows = o->rows, outputs = o->columns, inputs = o->inner;
  switch (o->code) {
    case KERNELS_DENSE:
      o->products[0] = make_product(rows, outputs, inputs, false, true, o->operands[3], false, threads);
      break;
    case KERNELS_DENSE_INPUT_COTANGENT:
      o->products[0] = make_product(rows, inputs, outputs, false, false, false, false, threads);
      break;
    case KERNELS_DENSE_PARAMETER_COTANGENTS:
      // One that replaces and one that adds.
      o->products[0] = make_product(outputs, inputs, rows, true, false, false, false, threads);
      o->products[1] = make_product(outputs, inputs, rows, true, false, false, true, threads);
      break;
    case KERNELS_DENSE_TANGENT:
      o->products[0] = make_product(rows, outputs, inputs, false, true, o->operands[5], false, threads);
      if (o->operands[1]) o->products[1] = make_product(rows, outputs, inputs, false, true, false, true, threads);
      break;
  }
}

int64_t kernels_make_products(kernels_operation *o, int threads) {
  making making = {o, kernels_team(threads)};
  kernels_with_library_threads(making.threads, make_products, &making);
  bool has_two = o->code == KERNELS_DENSE_PARAMETER_COTANGENTS || (o->code == KERNELS_DENSE_TANGENT && o->operands[1]);
  int count = has_two ? 2 : 1;
  int64_t scratch = 0;
  for (int i = 0; i < count; i++) {
    if (!o->products[i]) {
      kernels_free_products(o);
      return -1;
    }
    int64_t needed = scratch_of(o->products[i]);
    scratch = needed > scratch ? needed : scratch;
  }
  return scratch;
}

void kernels_free_products(kernels_operation *o) {
  for (int i = 0; i < 2; i++) {
    product *p = o->products[i];
    if (!p) continue;
    dnnl_primitive_destroy(p->primitive);
    free(p);
    o->products[i] = 0;
  }
}

typedef struct {
  const kernels_operation *operation;
  const kernels_run *run;
  float *scratch;
  bool done;
} running;

static void run_products(void *argument) {
  running *r = argument;
  const kernels_operation *o = r->operation;
  const kernels_run *run = r->run;
  float *scratch = r->scratch;
  float *x0 = operand(o, run, 0), *x1 = operand(o, run, 1), *x2 = operand(o, run, 2), *x3 = operand(o, run, 3);
  switch (o->code) {
    case KERNELS_DENSE: r->done = run_product(o->products[0], x1, x2, x3, x0, scratch); break;
    case KERNELS_DENSE_INPUT_COTANGENT: r->done = run_product(o->products[0], x1, x2, 0, x0, scratch); break;
    case KERNELS_DENSE_PARAMETER_COTANGENTS:
      r->done = run_product(o->products[run->accumulate ? 1 : 0], x2, x3, 0, x0, scratch);
      break;
    case KERNELS_DENSE_TANGENT:
      r->done = run_product(o->products[0], x2, operand(o, run, 4), operand(o, run, 5), x0, scratch)
          && (!x1 || run_product(o->products[1], x1, x3, 0, x0, scratch));
      break;
  }
}

bool kernels_run_products(const kernels_operation *o, const kernels_run *run, float *scratch) {
  const product *first = o->products[0];
  if (kernels_team(first->threads) < first->threads) return false;
  running running = {o, run, scratch, false};
  kernels_with_library_threads(first->threads, run_products, &running);
  return running.done;
}

/* MARK: What it is */

const char *kernels_onednn_version(void) {
  static char text[32];
  const dnnl_version_t *version = dnnl_version();
  snprintf(text, sizeof text, "%d.%d.%d", version->major, version->minor, version->patch);
  return text;
}

const char *kernels_onednn_instruction_set(void) {
  switch (dnnl_get_effective_cpu_isa()) {
    case dnnl_cpu_isa_sse41: return "sse41";
    case dnnl_cpu_isa_avx: return "avx";
    case dnnl_cpu_isa_avx2: return "avx2";
    case dnnl_cpu_isa_avx512_core: return "avx512_core";
    case dnnl_cpu_isa_avx512_core_vnni: return "avx512_core_vnni";
    case dnnl_cpu_isa_avx512_core_bf16: return "avx512_core_bf16";
    default: return "other";
  }
}
