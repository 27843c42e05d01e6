/* This header has what making convolutions and running them share. */
#pragma once

#include "onednn.h"

/* Some examples. */
typedef struct {
  int64_t rows;
  dnnl_primitive_t convolution;
  /* Where it wants another layout: from ours to its for what it reads, and back for what it writes, which may add. */
  dnnl_primitive_t enter_input, enter_output, leave;
} part;

/* Images may change their form before a primitive reads them. */
typedef enum {
  AS_THEY_ARE,
  BFLOAT16,
  /* Rounded to bfloat16, but kept in float32, for processors without it. */
  ROUNDED,
  /* In blocks of 16 channels, as Winograd's algorithm wants them, and who keeps images so; what else there is on the other
   * side, in the layout that the primitive chooses. */
  IN_BLOCKS,
} form;

typedef struct {
  form form;
  bool is_winograd, adds_apart, is_own;
  part whole, last;
  /* Parts, of which each thread does some that follow each other. */
  int parts, threads;
  /* Examples in a part but the last. */
  int64_t rows;
  /* Of weights, from their plain form to that which the primitives want; for their cotangents back, replacing or adding. */
  dnnl_primitive_t reorder, adding_reorder;
  /* In floats: of one example. */
  int64_t input_count, output_count;
  /* In floats, of each thread: what oneDNN scribbles on, and behind that the parameter cotangents of one part, and the
   * converted images of one; and the weights or their cotangents, which stay for all parts, where they are put. */
  int64_t scribble, sums, input_room, output_room, weights, weights_at;
  bool has_input_room, has_output_room;
} convolution;

/* The shapes of an operation. */
typedef struct {
  int64_t rows, height, width, inputs, output_height, output_width, outputs, groups;
  dnnl_dims_t strides, padding, padding_after;
  int64_t size;
} shape;

static inline shape shape_of(const kernels_operation *o) {
  const kernels_images *i = &o->images;
  shape s = {o->rows, i->height, i->width, o->inner, i->output_height, i->output_width, o->columns, i->groups};
  s.size = i->window_height;
  int64_t stride = i->stride, padding = i->padding;
  s.strides[0] = s.strides[1] = stride;
  s.padding[0] = s.padding[1] = padding;
  s.padding_after[0] = (s.output_height - 1) * stride + s.size - s.height - padding;
  s.padding_after[1] = (s.output_width - 1) * stride + s.size - s.width - padding;
  return s;
}

static inline int64_t weight_count(const shape *s) { return s->outputs * (s->inputs / s->groups) * s->size * s->size; }

static inline bool reads_input(const kernels_operation *o) { return o->code != KERNELS_CONVOLUTION_INPUT_COTANGENT; }
static inline bool reads_output(const kernels_operation *o) { return o->code != KERNELS_CONVOLUTION; }
static inline bool is_gradient(const kernels_operation *o) { return o->code == KERNELS_CONVOLUTION_PARAMETER_COTANGENTS; }
static inline bool has_bias(const kernels_operation *o) { return o->code == KERNELS_CONVOLUTION && o->operands[3]; }
static inline bool adds(const kernels_operation *o) { return o->code == KERNELS_CONVOLUTION && o->images.accumulates; }

/* Which operands are the images on both sides, read or written. */
static inline int input_operand(const kernels_operation *o) {
  return is_gradient(o) ? 3 : o->code == KERNELS_CONVOLUTION ? 1 : 0;
}
static inline int output_operand(const kernels_operation *o) {
  return is_gradient(o) ? 2 : o->code == KERNELS_CONVOLUTION ? 0 : 1;
}

/* What oneDNN calls them, and the weights. */
static inline int name_of_input(const kernels_operation *o) { return reads_input(o) ? DNNL_ARG_SRC : DNNL_ARG_DIFF_SRC; }
static inline int name_of_output(const kernels_operation *o) { return reads_output(o) ? DNNL_ARG_DIFF_DST : DNNL_ARG_DST; }
static inline int name_of_weights(const kernels_operation *o) {
  return is_gradient(o) ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS;
}
