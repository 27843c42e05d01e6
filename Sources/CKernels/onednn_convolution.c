/* Runs convolutions, each divided into parts of examples, which the threads of a region share. Images are channels last, or
 * in blocks of channels. */
#include "onednn_convolution.h"

/* The cotangents of weights where windows of one pixel have strides: weights [O, I / groups] += Σ output cotangent · input. */
static void add_pixel_cotangents(
    const shape *s, int64_t rows, const float *cotangent, const float *input, float *restrict weights) {
  int64_t inputs = s->inputs / s->groups, outputs = s->outputs / s->groups;
  for (int64_t i = 0; i < rows * s->output_height * s->output_width; i++, cotangent += s->outputs) {
    int64_t x = i % s->output_width * s->strides[1] - s->padding[1];
    int64_t y = i / s->output_width % s->output_height * s->strides[0] - s->padding[0];
    int64_t row = i / (s->output_width * s->output_height);
    if (x < 0 || y < 0 || x >= s->width || y >= s->height) continue;
    const float *pixel = input + ((row * s->height + y) * s->width + x) * s->inputs;
    for (int64_t o = 0; o < s->outputs; o++) {
      const float *of_group = pixel + o / outputs * inputs;
      for (int64_t c = 0; c < inputs; c++) weights[o * inputs + c] += cotangent[o] * of_group[c];
    }
  }
}

static bool run_reorder(dnnl_primitive_t reorder, const float *from, float *to, float *scribble) {
  primitive_argument arguments[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}, {DNNL_ARG_SCRATCHPAD, scribble}};
  return kernels_run_primitive(reorder, 3, arguments);
}

/* Some examples of an operand, and room for them in the form that the primitive wants, or the same. */
typedef struct {
  void *given, *room;
  int64_t count;
  bool is_bfloat16;
} examples;

static examples examples_of(
    const kernels_operation *o, const kernels_run *run, int index, int64_t row, int64_t rows, int64_t count,
    float *room) {
  bool is_half = is_bfloat16(o, index);
  char *first = (char *)operand(o, run, index) + row * count * (is_half ? 2 : 4);
  return (examples){first, room ? (void *)room : first, rows * count, is_half};
}

/* Converts what a primitive reads. */
static bool enter(const convolution *c, const examples *e, dnnl_primitive_t reorder, float *scribble) {
  if (e->room == e->given) return true;
  const kernels_loops *loops = kernels_chosen_loops();
  switch (c->form) {
    case AS_THEY_ARE: break;
    case BFLOAT16: loops->to_bfloat16(e->count, e->given, e->room); break;
    case ROUNDED:
      if (e->is_bfloat16) {
        loops->widen(e->count, e->given, e->room);
      } else {
        loops->round_to_bfloat16(e->count, e->given, e->room);
      }
      break;
    case IN_BLOCKS: return run_reorder(reorder, e->given, e->room, scribble);
  }
  return true;
}

/* What is given += the room. */
static void add(const examples *e) {
  const kernels_loops *loops = kernels_chosen_loops();
  if (!e->is_bfloat16) return loops->reduce(e->count, e->given, e->room);
  float sums[1024];
  for (int64_t start = 0; start < e->count; start += 1024) {
    int64_t count = e->count - start < 1024 ? e->count - start : 1024;
    uint16_t *given = (uint16_t *)e->given + start;
    loops->widen(count, given, sums);
    loops->reduce(count, sums, (float *)e->room + start);
    loops->to_bfloat16(count, sums, given);
  }
}

/* And back, what it wrote. */
static bool leave(const convolution *c, const examples *e, dnnl_primitive_t reorder, float *scribble) {
  if (e->room == e->given) return true;
  if (c->form == IN_BLOCKS) return run_reorder(reorder, e->room, e->given, scribble);
  if (c->adds_apart) {
    add(e);
    return true;
  }
  kernels_chosen_loops()->to_bfloat16(e->count, e->room, e->given);
  return true;
}

/* The operation's part of the scratch memory of a thread. */
static float *scratch_of(const kernels_operation *o, const kernels_run *run, int thread) {
  return run->scratch + thread * run->scratch_count + o->scratch;
}

static int parts_of_thread(const convolution *c) { return (c->parts + c->threads - 1) / c->threads; }

int64_t kernels_weights_of_convolution(const kernels_operation *o) {
  const convolution *c = o->products[0];
  return padded(c->weights);
}

void kernels_put_weights_of_convolution(kernels_operation *o, int64_t at) {
  convolution *c = o->products[0];
  c->weights_at = at;
}

kernels_division kernels_division_of_convolution(const kernels_operation *o) {
  const convolution *c = o->products[0];
  return (kernels_division){c->threads, o->rows, parts_of_thread(c) * c->rows, c->rows};
}

bool kernels_begin_convolution(const kernels_operation *o, const kernels_run *run, int thread) {
  const convolution *c = o->products[0];
  const float *given = operand(o, run, 2);
  float *scribble = scratch_of(o, run, thread), *wanted = run->scratch + c->weights_at, *rounded = scribble + c->scribble;
  if (c->form == ROUNDED) {
    shape s = shape_of(o);
    kernels_chosen_loops()->round_to_bfloat16(weight_count(&s), given, rounded);
    given = rounded;
  }
  return run_reorder(c->reorder, given, wanted, scribble);
}

bool kernels_run_part_of_convolution(const kernels_operation *o, const kernels_run *run, int thread, int index) {
  const convolution *c = o->products[0];
  const part *p = index == c->parts - 1 ? &c->last : &c->whole;
  bool is_first = index % parts_of_thread(c) == 0, done = true;
  float *scratch = scratch_of(o, run, thread), *weights = run->scratch + c->weights_at;
  float *cotangents = scratch + c->weights_at, *part_cotangents = scratch + c->scribble;
  float *input_room = part_cotangents + c->sums, *output_room = input_room + c->input_room;
  int64_t row = index * c->rows;
  examples input = examples_of(
      o, run, input_operand(o), row, p->rows, c->input_count, c->has_input_room ? input_room : 0);
  examples output = examples_of(
      o, run, output_operand(o), row, p->rows, c->output_count, c->has_output_room ? output_room : 0);
  if (reads_input(o)) done = enter(c, &input, p->enter_input, scratch);
  // What is added to is read too, but where what comes behind adds.
  if (reads_output(o) || (adds(o) && c->form == ROUNDED && !c->adds_apart)) {
    done = done && enter(c, &output, p->enter_output, scratch);
  }
  primitive_argument arguments[] = {
      {name_of_input(o), input.room},
      {name_of_output(o), output.room},
      {name_of_weights(o), !is_gradient(o) ? weights : is_first ? cotangents : part_cotangents},
      {DNNL_ARG_SCRATCHPAD, scratch},
      {DNNL_ARG_BIAS, has_bias(o) ? operand(o, run, 3) : 0}};
  if (c->is_own) {
    shape s = shape_of(o);
    if (is_first) memset(cotangents, 0, (size_t)c->weights * sizeof(float));
    add_pixel_cotangents(&s, p->rows, output.room, input.room, cotangents);
    return done;
  }
  done = done && kernels_run_primitive(p->convolution, has_bias(o) ? 5 : 4, arguments);
  if (is_gradient(o)) {
    if (!is_first) kernels_chosen_loops()->reduce(c->weights, cotangents, part_cotangents);
    return done;
  }
  return done
      && (o->code == KERNELS_CONVOLUTION
              ? leave(c, &output, p->leave, scratch)
              : leave(c, &input, p->leave, scratch));
}

bool kernels_end_convolution(const kernels_operation *o, const kernels_run *run) {
  if (!is_gradient(o)) return true;
  const convolution *c = o->products[0];
  float *scribble = scratch_of(o, run, 0), *cotangents = scribble + c->weights_at;
  // In the order of the threads, so that sums have the same bits.
  for (int thread = 1; thread < c->threads && thread * parts_of_thread(c) < c->parts; thread++) {
    kernels_chosen_loops()->reduce(c->weights, cotangents, scratch_of(o, run, thread) + c->weights_at);
  }
  return run_reorder(run->accumulate ? c->adding_reorder : c->reorder, cotangents, operand(o, run, 0), scribble);
}
