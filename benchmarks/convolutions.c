/* How fast oneDNN's convolutions run alone: the floor of a step that is made of them. Built and run by images.py.
 *
 * convolutions MODE EXAMPLES [INPUTS OUTPUTS SIZE WINDOW STRIDE COUNT]...
 *
 * MODE: direct, fast (the best of direct and Winograd) or bfloat16. Each convolution runs channels last and in oneDNN's
 * blocked layout, and the faster counts. Prints the seconds an example of all the convolutions' forwards, input
 * cotangents and parameter cotangents, and the bytes a second of a copy. */
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FORWARD, INPUT_COTANGENT, PARAMETER_COTANGENTS, PASSES };

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

typedef struct {
  int examples, inputs, outputs, size, window, stride, count;
} shape;

/* The description for a pass; false where oneDNN has no implementation. */
static int describe(
    dnnl_primitive_desc_t *made, int pass, const shape *s, dnnl_data_type_t type, dnnl_format_tag_t source_tag,
    dnnl_format_tag_t tag, dnnl_alg_kind_t algorithm) {
  int output = (s->size + s->stride - 1) / s->stride, padding = s->window / 2;
  int after = (output - 1) * s->stride + s->window - s->size - padding;
  dnnl_dims_t of_source = {s->examples, s->inputs, s->size, s->size};
  dnnl_dims_t of_target = {s->examples, s->outputs, output, output};
  dnnl_dims_t of_weights = {s->outputs, s->inputs, s->window, s->window};
  dnnl_dims_t strides = {s->stride, s->stride}, left = {padding, padding}, right = {after, after};
  /* What a pass makes is float32; what it reads is of the type. */
  dnnl_memory_desc_t source, target, weights, forward_source, forward_target, forward_weights;
  dnnl_memory_desc_init_by_tag(&source, 4, of_source, pass == INPUT_COTANGENT ? dnnl_f32 : type, source_tag);
  dnnl_memory_desc_init_by_tag(&target, 4, of_target, pass == FORWARD ? dnnl_f32 : type, tag);
  dnnl_memory_desc_init_by_tag(
      &weights, 4, of_weights, pass == PARAMETER_COTANGENTS ? dnnl_f32 : type, dnnl_format_tag_any);
  dnnl_memory_desc_init_by_tag(&forward_source, 4, of_source, type, source_tag);
  dnnl_memory_desc_init_by_tag(&forward_target, 4, of_target, type, tag);
  dnnl_memory_desc_init_by_tag(&forward_weights, 4, of_weights, type, dnnl_format_tag_any);
  dnnl_convolution_desc_t description;
  dnnl_primitive_desc_t hint = 0;
  if (pass == FORWARD) {
    return dnnl_convolution_forward_desc_init(
               &description, dnnl_forward_training, algorithm, &source, &weights, 0, &target, strides, left, right)
        == dnnl_success
        && dnnl_primitive_desc_create(made, &description, 0, engine, 0) == dnnl_success;
  }
  dnnl_status_t status = dnnl_convolution_forward_desc_init(
      &description, dnnl_forward_training, dnnl_convolution_direct, &forward_source, &forward_weights, 0,
      &forward_target, strides, left, right);
  if (status != dnnl_success || dnnl_primitive_desc_create(&hint, &description, 0, engine, 0) != dnnl_success) return 0;
  status = pass == INPUT_COTANGENT
      ? dnnl_convolution_backward_data_desc_init(
            &description, algorithm, &source, &weights, &target, strides, left, right)
      : dnnl_convolution_backward_weights_desc_init(
            &description, algorithm, &source, &weights, 0, &target, strides, left, right);
  int done = status == dnnl_success && dnnl_primitive_desc_create(made, &description, 0, engine, hint) == dnnl_success;
  dnnl_primitive_desc_destroy(hint);
  return done;
}

/* The seconds of one run, the best of some; a huge number where there is no implementation. */
static double seconds_of(
    int pass, const shape *s, dnnl_data_type_t type, dnnl_format_tag_t source_tag, dnnl_format_tag_t tag,
    dnnl_alg_kind_t algorithm) {
  static const dnnl_query_t queries[PASSES][3] = {
      {dnnl_query_src_md, dnnl_query_dst_md, dnnl_query_weights_md},
      {dnnl_query_diff_src_md, dnnl_query_diff_dst_md, dnnl_query_weights_md},
      {dnnl_query_src_md, dnnl_query_diff_dst_md, dnnl_query_diff_weights_md}};
  static const int names[PASSES][3] = {
      {DNNL_ARG_SRC, DNNL_ARG_DST, DNNL_ARG_WEIGHTS},
      {DNNL_ARG_DIFF_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS},
      {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS}};
  dnnl_primitive_desc_t description = 0;
  dnnl_primitive_t primitive = 0;
  if (!describe(&description, pass, s, type, source_tag, tag, algorithm)) return 1e9;
  if (dnnl_primitive_create(&primitive, description) != dnnl_success) return 1e9;
  dnnl_exec_arg_t arguments[3];
  for (int i = 0; i < 3; i++) {
    const dnnl_memory_desc_t *memory = dnnl_primitive_desc_query_md(description, queries[pass][i], 0);
    void *address = 0;
    arguments[i].arg = names[pass][i];
    if (dnnl_memory_create(&arguments[i].memory, memory, engine, DNNL_MEMORY_ALLOCATE) != dnnl_success) exit(1);
    dnnl_memory_get_data_handle(arguments[i].memory, &address);
    memset(address, 0, dnnl_memory_desc_get_size(memory));
  }
  double best = 1e9;
  for (int i = 0; i < 8; i++) {
    double start = now();
    dnnl_primitive_execute(primitive, stream, 3, arguments);
    dnnl_stream_wait(stream);
    double seconds = now() - start;
    if (i > 0 && seconds < best) best = seconds;
  }
  for (int i = 0; i < 3; i++) dnnl_memory_destroy(arguments[i].memory);
  dnnl_primitive_destroy(primitive);
  dnnl_primitive_desc_destroy(description);
  return best;
}

static double smaller(double a, double b) { return a < b ? a : b; }

/* Bytes read and written a second by a copy of 128 MiB. */
static double bandwidth(void) {
  size_t count = (size_t)1 << 25;
  float *from = malloc(count * sizeof(float)), *to = malloc(count * sizeof(float));
  if (!from || !to) exit(1);
  memset(from, 1, count * sizeof(float));
  double best = 1e9;
  for (int i = 0; i < 6; i++) {
    double start = now();
#pragma omp parallel for
    for (size_t j = 0; j < count; j++) to[j] = from[j] + 1;
    double seconds = now() - start;
    if (i > 0) best = smaller(best, seconds);
  }
  double checked = to[count - 1] == from[count - 1] + 1;
  free(from);
  free(to);
  return checked * 2 * (double)(count * sizeof(float)) / best;
}

int main(int count, char **words) {
  if (count < 3 || (count - 3) % 6 != 0) return 64;
  if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success) return 1;
  if (dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) != dnnl_success) return 1;
  int is_fast = strcmp(words[1], "fast") == 0;
  dnnl_data_type_t type = strcmp(words[1], "bfloat16") == 0 ? dnnl_bf16 : dnnl_f32;
  double seconds[PASSES] = {0};
  for (int i = 3; i < count; i += 6) {
    shape s = {atoi(words[2]), atoi(words[i]), atoi(words[i + 1]), atoi(words[i + 2]), atoi(words[i + 3]),
               atoi(words[i + 4]), atoi(words[i + 5])};
    dnnl_format_tag_t blocked = s.inputs % 16 == 0 ? dnnl_nChw16c : dnnl_nchw;
    for (int pass = 0; pass < PASSES; pass++) {
      /* Nobody asks for the cotangent of the images themselves. */
      if (pass == INPUT_COTANGENT && i == 3) continue;
      double best = smaller(
          seconds_of(pass, &s, type, dnnl_nhwc, dnnl_nhwc, dnnl_convolution_direct),
          seconds_of(pass, &s, type, blocked, dnnl_nChw16c, dnnl_convolution_direct));
      if (is_fast) best = smaller(best, seconds_of(pass, &s, type, blocked, dnnl_nChw16c, dnnl_convolution_winograd));
      seconds[pass] += s.count * best / s.examples;
    }
  }
  printf("%.9g %.9g %.9g %.9g\n", seconds[0], seconds[1], seconds[2], bandwidth());
  return 0;
}
