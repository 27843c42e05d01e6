/* Convolutions by oneDNN 2.x: direct, channels last, each divided into parts of examples, one for each thread. */
#include "onednn.h"

#include <stdatomic.h>
#include <stdlib.h>

/* A primitive with what it works on. Scratch memory is ours, so that it may run on any thread. */
typedef struct {
  dnnl_primitive_t primitive;
  dnnl_memory_desc_t scratchpad;
} step;

/* Some examples. */
typedef struct {
  step convolution;
  dnnl_memory_desc_t input, output;
} part;

typedef struct {
  part whole, last;
  int parts;
  /* Examples in a part but the last. */
  int64_t rows;
  /* Weights as others see them, and as the primitives want them; and the bias. */
  dnnl_memory_desc_t plain, wanted, bias;
  /* From the plain form to the wanted one; for parameter cotangents back, replacing or adding. */
  step reorder, adding_reorder;
  /* In floats: of one example. */
  int64_t input_count, output_count;
  /* In floats: what oneDNN scribbles on, and the weights behind that. */
  int64_t scribble, weights;
} convolution;

/* What an operation says of its shapes. */
typedef struct {
  int64_t rows, height, width, inputs, output_height, output_width, outputs, groups;
  dnnl_dims_t strides, padding, padding_after;
  int64_t size;
} shape;

static shape shape_of(const kernels_operation *o) {
  shape s = {o->rows, (int64_t)o->scalars[0], (int64_t)o->scalars[1], o->inner, (int64_t)o->scalars[2],
             (int64_t)o->scalars[3], o->columns, o->option};
  s.size = (int64_t)o->scalars[4];
  int64_t stride = (int64_t)o->scalars[5], padding = (int64_t)o->scalars[6];
  s.strides[0] = s.strides[1] = stride;
  s.padding[0] = s.padding[1] = padding;
  s.padding_after[0] = (s.output_height - 1) * stride + s.size - s.height - padding;
  s.padding_after[1] = (s.output_width - 1) * stride + s.size - s.width - padding;
  return s;
}

static void images(dnnl_memory_desc_t *d, int64_t rows, int64_t channels, int64_t height, int64_t width) {
  dnnl_dims_t lengths = {rows, channels, height, width};
  dnnl_memory_desc_init_by_tag(d, 4, lengths, dnnl_f32, dnnl_nhwc);
}

static void weights(dnnl_memory_desc_t *d, const shape *s, bool any) {
  dnnl_dims_t one = {s->outputs, s->inputs, s->size, s->size};
  dnnl_dims_t grouped = {s->groups, s->outputs / s->groups, s->inputs / s->groups, s->size, s->size};
  if (s->groups == 1) {
    dnnl_memory_desc_init_by_tag(d, 4, one, dnnl_f32, any ? dnnl_format_tag_any : dnnl_oihw);
  } else {
    dnnl_memory_desc_init_by_tag(d, 5, grouped, dnnl_f32, any ? dnnl_format_tag_any : dnnl_goihw);
  }
}

static dnnl_primitive_attr_t attributes_of(bool adds) {
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

static bool finish(step *s, dnnl_primitive_desc_t decided) {
  if (dnnl_primitive_create(&s->primitive, decided) != dnnl_success) return false;
  s->scratchpad = *dnnl_primitive_desc_query_md(decided, dnnl_query_scratchpad_md, 0);
  return true;
}

/* Decides how `rows` examples are convolved; `wanted` takes the form of the weights, or says it. */
static bool make_part(
    part *p, const kernels_operation *o, const shape *s, int64_t rows, dnnl_memory_desc_t *wanted,
    const dnnl_memory_desc_t *bias) {
  bool adds = o->code == KERNELS_CONVOLUTION && o->scalars[7] != 0;
  images(&p->input, rows, s->inputs, s->height, s->width);
  images(&p->output, rows, s->outputs, s->output_height, s->output_width);
  dnnl_memory_desc_t any;
  weights(&any, s, true);
  dnnl_convolution_desc_t forward, description;
  dnnl_primitive_attr_t attributes = attributes_of(adds);
  dnnl_primitive_desc_t hint = 0, decided = 0;
  dnnl_query_t query = dnnl_query_weights_md;
  bool made = attributes
      && dnnl_convolution_forward_desc_init(
             &forward, dnnl_forward_training, dnnl_convolution_direct, &p->input,
             o->code == KERNELS_CONVOLUTION ? wanted : &any, o->code == KERNELS_CONVOLUTION ? bias : 0, &p->output,
             s->strides, s->padding, s->padding_after) == dnnl_success
      && dnnl_primitive_desc_create(&hint, &forward, attributes, kernels_engine, 0) == dnnl_success;
  switch (o->code) {
    case KERNELS_CONVOLUTION: decided = hint; break;
    case KERNELS_CONVOLUTION_INPUT_COTANGENT:
      made = made
          && dnnl_convolution_backward_data_desc_init(
                 &description, dnnl_convolution_direct, &p->input, wanted, &p->output, s->strides, s->padding,
                 s->padding_after) == dnnl_success
          && dnnl_primitive_desc_create(&decided, &description, attributes, kernels_engine, hint) == dnnl_success;
      break;
    default:
      query = dnnl_query_diff_weights_md;
      made = made
          && dnnl_convolution_backward_weights_desc_init(
                 &description, dnnl_convolution_direct, &p->input, wanted, 0, &p->output, s->strides, s->padding,
                 s->padding_after) == dnnl_success
          && dnnl_primitive_desc_create(&decided, &description, attributes, kernels_engine, hint) == dnnl_success;
  }
  made = made && finish(&p->convolution, decided);
  if (made) *wanted = *dnnl_primitive_desc_query_md(decided, query, 0);
  if (decided != hint) dnnl_primitive_desc_destroy(decided);
  dnnl_primitive_desc_destroy(hint);
  dnnl_primitive_attr_destroy(attributes);
  return made;
}

static bool make_reorder(step *s, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to, bool adds) {
  dnnl_primitive_attr_t attributes = attributes_of(adds);
  dnnl_primitive_desc_t decided = 0;
  bool made = attributes
      && dnnl_reorder_primitive_desc_create(&decided, from, kernels_engine, to, kernels_engine, attributes)
          == dnnl_success
      && finish(s, decided);
  dnnl_primitive_desc_destroy(decided);
  dnnl_primitive_attr_destroy(attributes);
  return made;
}

static int64_t floats(const dnnl_memory_desc_t *d) { return padded((int64_t)(dnnl_memory_desc_get_size(d) + 3) / 4); }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static void free_step(step *s) {
  if (s->primitive) dnnl_primitive_destroy(s->primitive);
}

void kernels_free_convolution(kernels_operation *o) {
  convolution *c = o->products[0];
  if (!c) return;
  free_step(&c->whole.convolution);
  free_step(&c->last.convolution);
  free_step(&c->reorder);
  free_step(&c->adding_reorder);
  free(c);
  o->products[0] = 0;
}

static bool make(convolution *c, const kernels_operation *o, int threads) {
  shape s = shape_of(o);
  c->rows = (s.rows + threads - 1) / threads;
  c->parts = (int)((s.rows + c->rows - 1) / c->rows);
  c->input_count = s.height * s.width * s.inputs;
  c->output_count = s.output_height * s.output_width * s.outputs;
  weights(&c->plain, &s, false);
  weights(&c->wanted, &s, true);
  dnnl_dims_t outputs = {s.outputs};
  dnnl_memory_desc_init_by_tag(&c->bias, 1, outputs, dnnl_f32, dnnl_a);
  const dnnl_memory_desc_t *bias = o->code == KERNELS_CONVOLUTION && o->operands[3] ? &c->bias : 0;
  bool is_gradient = o->code == KERNELS_CONVOLUTION_PARAMETER_COTANGENTS;
  if (!make_part(&c->whole, o, &s, c->rows, &c->wanted, bias)) return false;
  // The last part takes the weights in the same form.
  if (!make_part(&c->last, o, &s, s.rows - (c->parts - 1) * c->rows, &c->wanted, bias)) return false;
  if (is_gradient) {
    if (!make_reorder(&c->reorder, &c->wanted, &c->plain, false)) return false;
    if (!make_reorder(&c->adding_reorder, &c->wanted, &c->plain, true)) return false;
  } else if (!make_reorder(&c->reorder, &c->plain, &c->wanted, false)) {
    return false;
  }
  c->scribble = larger(floats(&c->whole.convolution.scratchpad), floats(&c->last.convolution.scratchpad));
  c->scribble = larger(c->scribble, floats(&c->reorder.scratchpad));
  if (is_gradient) c->scribble = larger(c->scribble, floats(&c->adding_reorder.scratchpad));
  c->weights = floats(&c->wanted);
  return true;
}

int64_t kernels_make_convolution(kernels_operation *o, int threads) {
  convolution *c = kernels_start_library() ? calloc(1, sizeof *c) : 0;
  if (!c) return -1;
  o->products[0] = c;
  int before = kernels_enter_library();
  bool made = make(c, o, threads);
  kernels_leave_library(before);
  if (made) return c->scribble + c->weights;
  kernels_free_convolution(o);
  return -1;
}

int kernels_threads_of_convolution(const kernels_operation *o) { return ((const convolution *)o->products[0])->parts; }

typedef struct {
  int name;
  const dnnl_memory_desc_t *description;
  const void *address;
} argument;

static bool run_step(const step *s, int count, const argument *given) {
  dnnl_exec_arg_t arguments[5];
  bool done = true;
  int before = kernels_enter_library();
  for (int i = 0; i < count; i++) {
    arguments[i].arg = given[i].name;
    arguments[i].memory = 0;
    done &= dnnl_memory_create(&arguments[i].memory, given[i].description, kernels_engine, (void *)given[i].address)
        == dnnl_success;
  }
  done = done && dnnl_primitive_execute(s->primitive, kernels_stream, count, arguments) == dnnl_success;
  for (int i = 0; i < count; i++) dnnl_memory_destroy(arguments[i].memory);
  kernels_leave_library(before);
  return done;
}

static bool run_reorder(
    const step *s, const dnnl_memory_desc_t *from, const float *source, const dnnl_memory_desc_t *to, float *target,
    float *scribble) {
  argument arguments[] = {
      {DNNL_ARG_FROM, from, source}, {DNNL_ARG_TO, to, target}, {DNNL_ARG_SCRATCHPAD, &s->scratchpad, scribble}};
  return run_step(s, 3, arguments);
}

typedef struct {
  const convolution *convolution;
  const kernels_operation *operation;
  const kernels_run *run;
  float *scratch;
  atomic_bool failed;
} running;

static void run_part(void *context, int index) {
  running *r = context;
  const convolution *c = r->convolution;
  const kernels_operation *o = r->operation;
  const part *p = index == c->parts - 1 ? &c->last : &c->whole;
  float *scribble = r->scratch + index * r->run->scratch_count;
  int64_t row = index * c->rows;
  argument arguments[5];
  int count = 4;
  arguments[3] = (argument){DNNL_ARG_SCRATCHPAD, &p->convolution.scratchpad, scribble};
  switch (o->code) {
    case KERNELS_CONVOLUTION:
      arguments[0] = (argument){DNNL_ARG_DST, &p->output, operand(o, r->run, 0) + row * c->output_count};
      arguments[1] = (argument){DNNL_ARG_SRC, &p->input, operand(o, r->run, 1) + row * c->input_count};
      arguments[2] = (argument){DNNL_ARG_WEIGHTS, &c->wanted, r->scratch + c->scribble};
      if (o->operands[3]) arguments[count++] = (argument){DNNL_ARG_BIAS, &c->bias, operand(o, r->run, 3)};
      break;
    case KERNELS_CONVOLUTION_INPUT_COTANGENT:
      arguments[0] = (argument){DNNL_ARG_DIFF_SRC, &p->input, operand(o, r->run, 0) + row * c->input_count};
      arguments[1] = (argument){DNNL_ARG_DIFF_DST, &p->output, operand(o, r->run, 1) + row * c->output_count};
      arguments[2] = (argument){DNNL_ARG_WEIGHTS, &c->wanted, r->scratch + c->scribble};
      break;
    default:
      arguments[0] = (argument){DNNL_ARG_DIFF_WEIGHTS, &c->wanted, scribble + c->scribble};
      arguments[1] = (argument){DNNL_ARG_DIFF_DST, &p->output, operand(o, r->run, 2) + row * c->output_count};
      arguments[2] = (argument){DNNL_ARG_SRC, &p->input, operand(o, r->run, 3) + row * c->input_count};
  }
  if (!run_step(&p->convolution, count, arguments)) atomic_store(&r->failed, true);
}

bool kernels_run_convolution(const kernels_operation *o, const kernels_run *run) {
  const convolution *c = o->products[0];
  running r = {c, o, run, run->scratch + o->scratch, false};
  if (o->code != KERNELS_CONVOLUTION_PARAMETER_COTANGENTS) {
    int weight = 2;
    if (!run_reorder(
            &c->reorder, &c->plain, operand(o, run, weight), &c->wanted, r.scratch + c->scribble, r.scratch)) {
      return false;
    }
    kernels_parallel(c->parts, run_part, &r);
    return !atomic_load(&r.failed);
  }
  kernels_parallel(c->parts, run_part, &r);
  bool done = !atomic_load(&r.failed);
  // In the order of the parts, so that sums have the same bits.
  for (int i = 0; i < c->parts; i++) {
    float *scribble = r.scratch + i * run->scratch_count;
    bool adds = i > 0 || run->accumulate;
    done = done
        && run_reorder(
               adds ? &c->adding_reorder : &c->reorder, &c->wanted, scribble + c->scribble, &c->plain,
               operand(o, run, 0), scribble);
  }
  return done;
}
