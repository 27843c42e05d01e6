/* Decides how convolutions run, and makes their primitives of oneDNN 2.x: direct; on request in bfloat16, or by Winograd's
 * algorithm. */
#include "onednn_convolution.h"

#include <stdlib.h>

static void images(
    dnnl_memory_desc_t *d, int64_t rows, int64_t channels, int64_t height, int64_t width, dnnl_data_type_t type,
    dnnl_format_tag_t tag) {
  dnnl_dims_t lengths = {rows, channels, height, width};
  dnnl_memory_desc_init_by_tag(d, 4, lengths, type, tag);
}

static void inputs(dnnl_memory_desc_t *d, int64_t rows, const shape *s, dnnl_data_type_t type, dnnl_format_tag_t tag) {
  images(d, rows, s->inputs, s->height, s->width, type, tag);
}

static void outputs(dnnl_memory_desc_t *d, int64_t rows, const shape *s, dnnl_data_type_t type, dnnl_format_tag_t tag) {
  images(d, rows, s->outputs, s->output_height, s->output_width, type, tag);
}

static void weights(dnnl_memory_desc_t *d, const shape *s, bool any, dnnl_data_type_t type) {
  dnnl_dims_t one = {s->outputs, s->inputs, s->size, s->size};
  dnnl_dims_t grouped = {s->groups, s->outputs / s->groups, s->inputs / s->groups, s->size, s->size};
  if (s->groups == 1) {
    dnnl_memory_desc_init_by_tag(d, 4, one, type, any ? dnnl_format_tag_any : dnnl_oihw);
  } else {
    dnnl_memory_desc_init_by_tag(d, 5, grouped, type, any ? dnnl_format_tag_any : dnnl_goihw);
  }
}

static bool make_reorder(
    dnnl_primitive_t *reorder, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to, bool adds) {
  dnnl_primitive_attr_t attributes = kernels_attributes(adds);
  dnnl_primitive_desc_t decided = 0;
  bool made = attributes
      && dnnl_reorder_primitive_desc_create(&decided, from, kernels_engine, to, kernels_engine, attributes)
          == dnnl_success
      && dnnl_primitive_create(reorder, decided) == dnnl_success;
  dnnl_primitive_desc_destroy(decided);
  dnnl_primitive_attr_destroy(attributes);
  return made;
}

/* Whether a primitive works on other images than those that are given: converted ones, and such as become the given. */
static bool needs_room(const convolution *c, const kernels_operation *o, bool is_read, int index) {
  if (c->adds_apart && !is_read) return true;
  switch (c->form) {
    case AS_THEY_ARE: return false;
    case BFLOAT16: return is_read && !is_bfloat16(o, index);
    case ROUNDED: return is_read || is_bfloat16(o, index);
    case IN_BLOCKS: return !is_in_blocks(o, index);
  }
}

static dnnl_format_tag_t tag_of(const convolution *c, const kernels_operation *o, int index) {
  if (c->form != IN_BLOCKS) return dnnl_nhwc;
  return c->is_winograd || is_in_blocks(o, index) ? dnnl_nChw16c : dnnl_format_tag_any;
}

/* Decides how `rows` examples are convolved; `wanted` takes the form of the weights, or says it. */
static bool make_part(
    part *p, const convolution *c, const kernels_operation *o, const shape *s, int64_t rows, dnnl_memory_desc_t *wanted,
    const dnnl_memory_desc_t *bias) {
  // A primitive writes bfloat16 only where the operand is kept so.
  dnnl_data_type_t type = c->form == BFLOAT16 ? dnnl_bf16 : dnnl_f32;
  dnnl_data_type_t input_type = reads_input(o) || is_bfloat16(o, input_operand(o)) ? type : dnnl_f32;
  dnnl_data_type_t output_type = reads_output(o) || is_bfloat16(o, output_operand(o)) ? type : dnnl_f32;
  dnnl_format_tag_t input_tag = tag_of(c, o, input_operand(o)), output_tag = tag_of(c, o, output_operand(o));
  dnnl_alg_kind_t algorithm = c->is_winograd ? dnnl_convolution_winograd : dnnl_convolution_direct;
  dnnl_memory_desc_t any, input, output, hint_input, hint_output;
  p->rows = rows;
  inputs(&input, rows, s, input_type, input_tag);
  outputs(&output, rows, s, output_type, output_tag);
  inputs(&hint_input, rows, s, type, input_tag);
  outputs(&hint_output, rows, s, o->code == KERNELS_CONVOLUTION ? output_type : type, output_tag);
  weights(&any, s, true, type);
  dnnl_convolution_desc_t forward, description;
  // A result that changes its layout afterwards is added by that change.
  bool changes = c->form == IN_BLOCKS, adds_itself = adds(o) && !(changes && c->has_output_room) && !c->adds_apart;
  dnnl_primitive_attr_t attributes = kernels_attributes(adds_itself);
  dnnl_primitive_desc_t hint = 0, decided = 0;
  bool is_forward = o->code == KERNELS_CONVOLUTION;
  bool made = attributes
      && dnnl_convolution_forward_desc_init(
             &forward, dnnl_forward_training, is_forward ? algorithm : dnnl_convolution_direct, &hint_input,
             is_forward ? wanted : &any, is_forward ? bias : 0, &hint_output, s->strides, s->padding,
             s->padding_after) == dnnl_success
      && dnnl_primitive_desc_create(&hint, &forward, attributes, kernels_engine, 0) == dnnl_success;
  switch (o->code) {
    case KERNELS_CONVOLUTION: decided = hint; break;
    case KERNELS_CONVOLUTION_INPUT_COTANGENT:
      made = made
          && dnnl_convolution_backward_data_desc_init(
                 &description, algorithm, &input, wanted, &output, s->strides, s->padding, s->padding_after)
              == dnnl_success
          && dnnl_primitive_desc_create(&decided, &description, attributes, kernels_engine, hint) == dnnl_success;
      break;
    default:
      made = made
          && dnnl_convolution_backward_weights_desc_init(
                 &description, algorithm, &input, wanted, 0, &output, s->strides, s->padding, s->padding_after)
              == dnnl_success
          && dnnl_primitive_desc_create(&decided, &description, attributes, kernels_engine, hint) == dnnl_success;
  }
  made = made && dnnl_primitive_create(&p->convolution, decided) == dnnl_success;
  if (decided != hint) dnnl_primitive_desc_destroy(decided);
  dnnl_primitive_desc_destroy(hint);
  dnnl_primitive_attr_destroy(attributes);
  if (!made) return false;
  *wanted = *kernels_described(p->convolution, name_of_weights(o));
  if (!changes) return true;
  dnnl_memory_desc_t plain_input, plain_output;
  inputs(&plain_input, rows, s, dnnl_f32, dnnl_nhwc);
  outputs(&plain_output, rows, s, dnnl_f32, dnnl_nhwc);
  input = *kernels_described(p->convolution, name_of_input(o));
  output = *kernels_described(p->convolution, name_of_output(o));
  if (c->has_input_room) {
    made = reads_input(o) ? make_reorder(&p->enter_input, &plain_input, &input, false)
                          : make_reorder(&p->leave, &input, &plain_input, false);
  }
  if (made && c->has_output_room) {
    made = reads_output(o) ? make_reorder(&p->enter_output, &plain_output, &output, false)
                           : make_reorder(&p->leave, &output, &plain_output, adds(o));
  }
  return made;
}

static void free_primitives(int count, dnnl_primitive_t *const *primitives) {
  for (int i = 0; i < count; i++) {
    if (*primitives[i]) dnnl_primitive_destroy(*primitives[i]);
    *primitives[i] = 0;
  }
}

static void free_part(part *p) {
  free_primitives(4, (dnnl_primitive_t *[]){&p->convolution, &p->enter_input, &p->enter_output, &p->leave});
}

static void free_all(convolution *c) {
  free_part(&c->whole);
  free_part(&c->last);
  free_primitives(2, (dnnl_primitive_t *[]){&c->reorder, &c->adding_reorder});
}

void kernels_free_convolution(kernels_operation *o) {
  convolution *c = o->products[0];
  if (!c) return;
  int before = kernels_begin_making();
  free_all(c);
  kernels_end_making(before);
  free(c);
  o->products[0] = 0;
}

static bool has_winograd(const kernels_operation *o, const shape *s) {
  int64_t least = s->inputs < s->outputs ? s->inputs : s->outputs;
  // Measured: where images change their layout, it pays from 32 channels on.
  if (!has_blocks(o) && least < 32) return false;
  return o->arithmetic == KERNELS_FAST && s->size == 3 && s->strides[0] == 1 && s->groups == 1 && s->padding[0] == 1
      && s->inputs % KERNELS_BLOCK == 0 && s->outputs % KERNELS_BLOCK == 0;
}

/* Where windows of one pixel have strides, and channels fill no vectors, oneDNN 2.6 reads and writes what is not there for
 * the cotangents of weights. */
static bool skips_pixels(const kernels_operation *o, const shape *s) {
  return is_gradient(o) && s->size == 1 && s->strides[0] > 1 && s->inputs / s->groups % KERNELS_BLOCK != 0;
}

static form form_of(const convolution *c, const kernels_operation *o, const shape *s) {
  if (c->is_winograd || has_blocks(o)) return IN_BLOCKS;
  // Where a window is larger than the image, or strides leave an output one pixel wide, oneDNN 2.6 adds up what it never
  // wrote into the cotangents of weights; and with windows of one pixel into those of images, where the number of outputs
  // is odd.
  bool is_narrow = s->size > s->height || s->size > s->width || (s->output_width == 1 && s->strides[1] > 1);
  bool is_odd = s->size == 1 && s->outputs / s->groups % 2 == 1;
  bool is_safe = is_gradient(o) ? !is_narrow && !skips_pixels(o, s) : o->code == KERNELS_CONVOLUTION || !is_odd;
  if (o->arithmetic == KERNELS_BFLOAT16) return is_safe ? BFLOAT16 : ROUNDED;
  return o->arithmetic == KERNELS_ROUNDED_TO_BFLOAT16 ? ROUNDED : AS_THEY_ARE;
}

/* Without AVX2, oneDNN 2.6 crashes where convolutions by groups add to what is not aligned to 16 bytes. */
static bool adds_apart(const convolution *c, const kernels_operation *o) {
  bool has_avx2 = (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx2) == dnnl_cpu_isa_avx2;
  return adds(o) && o->images.groups > 1 && o->columns % 4 != 0 && c->form != IN_BLOCKS && !has_avx2;
}

/* Images of a part, on both sides, stay in the caches from one operation to the next; those of Winograd's algorithm, which
 * has more to do for each part, in a third-level one. */
enum { PART_BYTES = 1 << 20, WINOGRAD_BYTES = 1 << 22 };

int64_t kernels_examples_of_part(const kernels_operation *o) {
  shape s = shape_of(o);
  int64_t count = s.height * s.width * s.inputs + s.output_height * s.output_width * s.outputs;
  int64_t bytes = count * (o->arithmetic == KERNELS_BFLOAT16 ? 2 : 4);
  int64_t examples = (has_winograd(o, &s) ? WINOGRAD_BYTES : PART_BYTES) / bytes;
  // Each part has parameter cotangents of its own to be added up.
  if (is_gradient(o)) examples = larger(examples, 2 * 4 * weight_count(&s) / bytes);
  return larger(examples, 1);
}

static int64_t scribble_of(dnnl_primitive_t primitive) {
  return primitive ? kernels_floats_of(primitive, DNNL_ARG_SCRATCHPAD) : 0;
}

static int64_t scribble_of_part(const part *p) {
  return larger(
      larger(scribble_of(p->convolution), scribble_of(p->leave)),
      larger(scribble_of(p->enter_input), scribble_of(p->enter_output)));
}

static bool make(convolution *c, const kernels_operation *o, int threads, int64_t examples) {
  shape s = shape_of(o);
  c->input_count = s.height * s.width * s.inputs;
  c->output_count = s.output_height * s.output_width * s.outputs;
  c->has_input_room = needs_room(c, o, reads_input(o), input_operand(o));
  c->has_output_room = needs_room(c, o, reads_output(o), output_operand(o));
  c->rows = examples;
  c->parts = (int)((s.rows + c->rows - 1) / c->rows);
  c->threads = c->parts < threads ? c->parts : threads;
  dnnl_data_type_t read = c->form == BFLOAT16 ? dnnl_bf16 : dnnl_f32;
  dnnl_memory_desc_t plain, wanted, one_each;
  weights(&plain, &s, false, dnnl_f32);
  weights(&wanted, &s, !c->is_own, is_gradient(o) ? dnnl_f32 : read);
  dnnl_dims_t outputs = {s.outputs};
  dnnl_memory_desc_init_by_tag(&one_each, 1, outputs, dnnl_f32, dnnl_a);
  const dnnl_memory_desc_t *bias = has_bias(o) ? &one_each : 0;
  if (!make_part(&c->whole, c, o, &s, c->rows, &wanted, bias)) return false;
  // The last part takes the weights in the same form.
  if (!make_part(&c->last, c, o, &s, s.rows - (c->parts - 1) * c->rows, &wanted, bias)) return false;
  if (is_gradient(o)) {
    if (!make_reorder(&c->reorder, &wanted, &plain, false)) return false;
    if (!make_reorder(&c->adding_reorder, &wanted, &plain, true)) return false;
  } else if (!make_reorder(&c->reorder, &plain, &wanted, false)) {
    return false;
  }
  c->scribble = larger(
      larger(scribble_of_part(&c->whole), scribble_of_part(&c->last)),
      larger(scribble_of(c->reorder), scribble_of(c->adding_reorder)));
  c->weights = kernels_floats_of(c->whole.convolution, name_of_weights(o));
  // Also room for rounded weights.
  bool has_sums = (is_gradient(o) && c->parts > c->threads) || c->form == ROUNDED;
  c->sums = has_sums ? larger(c->weights, padded(weight_count(&s))) : 0;
  c->input_room = c->has_input_room ? kernels_floats_of(c->whole.convolution, name_of_input(o)) : 0;
  c->output_room = c->has_output_room ? kernels_floats_of(c->whole.convolution, name_of_output(o)) : 0;
  return true;
}

int64_t kernels_make_convolution(kernels_operation *o, int threads, int64_t examples) {
  convolution *c = kernels_start_library() ? calloc(1, sizeof *c) : 0;
  if (!c) return -1;
  o->products[0] = c;
  shape s = shape_of(o);
  c->is_winograd = has_winograd(o, &s);
  c->form = form_of(c, o, &s);
  c->adds_apart = adds_apart(c, o);
  c->is_own = skips_pixels(o, &s) && c->form != IN_BLOCKS;
  int before = kernels_begin_making();
  bool made = make(c, o, threads, examples);
  if (!made && c->is_winograd) {
    // Not on this processor.
    free_all(c);
    c->is_winograd = false;
    c->form = form_of(c, o, &s);
    made = make(c, o, threads, examples);
  }
  kernels_end_making(before);
  if (made) return c->scribble + c->sums + c->input_room + c->output_room;
  kernels_free_convolution(o);
  return -1;
}
