/* The thin layer over oneDNN: this file and onednn_convolution.c are all that depends on its version. Written for the C
 * interface of oneDNN 2.x (2.6 is what Debian 12 has, and what is tested). */
#include "onednn.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

dnnl_engine_t kernels_engine;
dnnl_stream_t kernels_stream;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_engine(void) {
  if (dnnl_engine_create(&kernels_engine, dnnl_cpu, 0) != dnnl_success) return;
  // Programs keep their primitives; the library's own cache would keep those of every shape that ever came.
  dnnl_set_primitive_cache_capacity(64);
  if (dnnl_stream_create(&kernels_stream, kernels_engine, dnnl_stream_default_flags) != dnnl_success) {
    kernels_stream = 0;
  }
}

/* oneDNN 2.6 ends the process where it has no memory for the code of a primitive: so much is more than any takes. */
static bool has_room_for_code(void) {
  size_t size = (size_t)64 << 20;
  void *room = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
  return room != MAP_FAILED && munmap(room, size) == 0;
}

bool kernels_start_library(void) {
  pthread_once(&once, make_engine);
  return kernels_engine && kernels_stream && has_room_for_code();
}

/* MARK: Primitives */

/* oneDNN 2.6 makes wrong primitives, or ends the process, where several threads make them at a time. */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

int kernels_begin_making(void) {
  pthread_mutex_lock(&making);
  return kernels_enter_library();
}

void kernels_end_making(int before) {
  kernels_leave_library(before);
  pthread_mutex_unlock(&making);
}

dnnl_primitive_attr_t kernels_attributes(bool adds) {
  dnnl_primitive_attr_t attributes = 0;
  dnnl_post_ops_t after = 0;
  bool made = dnnl_primitive_attr_create(&attributes) == dnnl_success
      && dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user) == dnnl_success
      && dnnl_post_ops_create(&after) == dnnl_success
      && (!adds || dnnl_post_ops_append_sum(after, 1) == dnnl_success)
      && dnnl_primitive_attr_set_post_ops(attributes, after) == dnnl_success;
  dnnl_post_ops_destroy(after);
  if (made) return attributes;
  dnnl_primitive_attr_destroy(attributes);
  return 0;
}

const dnnl_memory_desc_t *kernels_described(dnnl_primitive_t primitive, int name) {
  const_dnnl_primitive_desc_t decided = 0;
  dnnl_primitive_get_primitive_desc(primitive, &decided);
  return dnnl_primitive_desc_query_md(decided, dnnl_query_exec_arg_md, name);
}

int64_t kernels_floats_of(dnnl_primitive_t primitive, int name) {
  return padded((int64_t)(dnnl_memory_desc_get_size(kernels_described(primitive, name)) + 3) / 4);
}

bool kernels_run_primitive(dnnl_primitive_t primitive, int count, const primitive_argument *given) {
  dnnl_exec_arg_t arguments[5];
  bool done = true;
  int before = kernels_enter_library();
  for (int i = 0; i < count; i++) {
    const dnnl_memory_desc_t *description = kernels_described(primitive, given[i].name);
    arguments[i].arg = given[i].name;
    arguments[i].memory = 0;
    done &= dnnl_memory_create(&arguments[i].memory, description, kernels_engine, (void *)given[i].address)
        == dnnl_success;
  }
  done = done && dnnl_primitive_execute(primitive, kernels_stream, count, arguments) == dnnl_success;
  for (int i = 0; i < count; i++) dnnl_memory_destroy(arguments[i].memory);
  kernels_leave_library(before);
  return done;
}

/* MARK: One product: destination[m, n] (+)= source[m, k] · weights[k, n] (+ bias[n]) */

bool kernels_is_large_product(const kernels_operation *o) {
  return o->code >= KERNELS_DENSE && o->code <= KERNELS_DENSE_TANGENT && o->rows >= KERNELS_FEW_ROWS
      && (o->columns > KERNELS_NARROW || o->inner > KERNELS_NARROW);
}

/* Divided into parts of rows or of columns of the result, one for each thread, each of them a primitive on one thread.
 * The last part is smaller. */
typedef struct {
  dnnl_primitive_t whole, last;
  int parts;
  bool by_columns, has_bias;
  /* From one part to the next, in floats. */
  int64_t source_step, weights_step, bias_step, destination_step;
} product;

/* A matrix [rows, columns] with `length` floats from a row to the next, or from a column to the next if it is transposed. */
static void describe(dnnl_memory_desc_t *d, int64_t rows, int64_t columns, int64_t length, bool transposed) {
  dnnl_dims_t lengths = {rows, columns}, strides = {transposed ? 1 : length, transposed ? length : 1};
  dnnl_memory_desc_init_by_strides(d, 2, lengths, dnnl_f32, strides);
}

/* Part of a product: source [rows, k], weights [k, columns], the bias nil where there is none, destination. */
static dnnl_primitive_t make_part(
    const dnnl_memory_desc_t *source, const dnnl_memory_desc_t *weights, const dnnl_memory_desc_t *bias,
    const dnnl_memory_desc_t *destination, bool adds) {
  dnnl_matmul_desc_t description;
  dnnl_primitive_attr_t attributes = kernels_attributes(adds);
  dnnl_primitive_desc_t decided = 0;
  dnnl_primitive_t made = 0;
  bool is_decided = attributes && dnnl_matmul_desc_init(&description, source, weights, bias, destination) == dnnl_success
      && dnnl_primitive_desc_create(&decided, &description, attributes, kernels_engine, 0) == dnnl_success;
  if (is_decided && dnnl_primitive_create(&made, decided) != dnnl_success) made = 0;
  dnnl_primitive_desc_destroy(decided);
  dnnl_primitive_attr_destroy(attributes);
  return made;
}

static void free_product(product *p) {
  if (p->whole) dnnl_primitive_destroy(p->whole);
  if (p->last) dnnl_primitive_destroy(p->last);
  free(p);
}

static product *make_product(
    int64_t m, int64_t n, int64_t k, bool source_transposed, bool weights_transposed, bool has_bias, bool adds,
    int threads) {
  product *p = kernels_start_library() ? calloc(1, sizeof *p) : 0;
  if (!p) return 0;
  // Each thread reads the whole of the smaller operand.
  p->by_columns = n > m;
  int64_t length = p->by_columns ? n : m, multiple = p->by_columns ? 64 : 16;
  int64_t size = ((length + threads - 1) / threads + multiple - 1) / multiple * multiple;
  if (size > length) size = length;
  p->parts = (int)((length + size - 1) / size);
  p->has_bias = has_bias;
  p->source_step = p->by_columns ? 0 : size * (source_transposed ? 1 : k);
  p->weights_step = p->by_columns ? size * (weights_transposed ? k : 1) : 0;
  p->bias_step = p->by_columns ? size : 0;
  p->destination_step = p->by_columns ? size : size * n;
  for (int i = 0; i < 2; i++) {
    int64_t left = i ? length - (p->parts - 1) * size : size;
    int64_t rows = p->by_columns ? m : left, columns = p->by_columns ? left : n;
    dnnl_memory_desc_t source, weights, bias, destination;
    describe(&source, rows, k, source_transposed ? m : k, source_transposed);
    describe(&weights, k, columns, weights_transposed ? k : n, weights_transposed);
    describe(&bias, 1, columns, n, false);
    describe(&destination, rows, columns, n, false);
    *(i ? &p->last : &p->whole) = make_part(&source, &weights, has_bias ? &bias : 0, &destination, adds);
  }
  if (p->whole && p->last) return p;
  free_product(p);
  return 0;
}

static int64_t scratch_of(const product *p) {
  int64_t whole = kernels_floats_of(p->whole, DNNL_ARG_SCRATCHPAD), last = kernels_floats_of(p->last, DNNL_ARG_SCRATCHPAD);
  return whole > last ? whole : last;
}

typedef struct {
  const product *product;
  const float *source, *weights, *bias;
  float *destination;
  float *scratch;
  int64_t scratch_step;
  atomic_bool failed;
} running;

static void run_part(void *argument, int index) {
  running *r = argument;
  const product *p = r->product;
  primitive_argument arguments[] = {
      {DNNL_ARG_SRC, r->source + index * p->source_step},
      {DNNL_ARG_WEIGHTS, r->weights + index * p->weights_step},
      {DNNL_ARG_DST, r->destination + index * p->destination_step},
      {DNNL_ARG_SCRATCHPAD, r->scratch + index * r->scratch_step},
      {DNNL_ARG_BIAS, r->bias + index * p->bias_step}};
  bool done = kernels_run_primitive(index == p->parts - 1 ? p->last : p->whole, p->has_bias ? 5 : 4, arguments);
  if (!done) atomic_store(&r->failed, true);
}

/* MARK: The products of a dense layer */

static void make_products(kernels_operation *o, int threads) {
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
  int before = kernels_begin_making();
  make_products(o, threads);
  kernels_end_making(before);
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
  int before = kernels_begin_making();
  for (int i = 0; i < 2; i++) {
    if (o->products[i]) free_product(o->products[i]);
    o->products[i] = 0;
  }
  kernels_end_making(before);
}

int kernels_threads_of_products(const kernels_operation *o) {
  return ((const product *)o->products[0])->parts;
}

static bool run_product(
    const kernels_operation *o, const kernels_run *run, int index, int source, int weights, int bias) {
  const product *p = o->products[index];
  running r = {p, operand(o, run, source), operand(o, run, weights), p->has_bias ? operand(o, run, bias) : 0,
               operand(o, run, 0), run->scratch + o->scratch, run->scratch_count, false};
  kernels_parallel(p->parts, run_part, &r);
  return !atomic_load(&r.failed);
}

bool kernels_run_products(const kernels_operation *o, const kernels_run *run) {
  switch (o->code) {
    case KERNELS_DENSE: return run_product(o, run, 0, 1, 2, 3);
    case KERNELS_DENSE_INPUT_COTANGENT: return run_product(o, run, 0, 1, 2, 0);
    case KERNELS_DENSE_PARAMETER_COTANGENTS: return run_product(o, run, run->accumulate ? 1 : 0, 2, 3, 0);
    case KERNELS_DENSE_TANGENT:
      return run_product(o, run, 0, 2, 4, 5) && (!o->operands[1] || run_product(o, run, 1, 1, 3, 0));
    default: return false;
  }
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
    case dnnl_cpu_isa_avx512_core_amx: return "avx512_core_amx";
    default: return "other";
  }
}

bool kernels_prefers_blocks(void) {
  // The sets are bits, not a ladder: some with AVX2 alone have greater numbers.
  return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
}

bool kernels_has_bfloat16(void) {
  dnnl_cpu_isa_t most = dnnl_get_effective_cpu_isa();
  return most == dnnl_cpu_isa_avx512_core_bf16 || most == dnnl_cpu_isa_avx512_core_amx;
}
