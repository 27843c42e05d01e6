/* What is made of recorded operations before they run: primitives of the library, and places in scratch memory. */
#include "plan.h"

/* Makes the convolutions of a region, of which a part is the same examples to each. Returns the floats of scratch memory
 * that a thread needs for them, or -1. */
static int64_t make_convolutions(kernels_operation *operations, int64_t count, int allowed) {
  double cost = 0;
  int64_t rows = 0, examples = 1, scratch = 0;
  for (int64_t i = 0; i < count; i++) {
    const kernels_operation *o = &operations[i];
    cost += kernels_cost_of_row(o) * (double)o->rows;
    if (kind_of(o) != CONVOLUTION) continue;
    rows = o->rows;
    examples = larger(examples, kernels_examples_of_part(o));
  }
  int threads = kernels_threads_for(cost, rows, allowed);
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
  if (!kernels_fuse(operations, count)) return -1;
  for (int64_t i = 0; i < count;) {
    kernels_operation *first = &operations[i];
    bool is_product = kind_of(first) == LARGE_PRODUCT;
    first->region = kernels_length_of_region(first, count - i);
    int64_t end = i + larger(1, first->region);
    double cost = kernels_cost_of_row(first) * (double)first->rows;
    int64_t library = is_product ? kernels_make_products(first, kernels_threads_for(cost, threads, threads))
                                 : make_convolutions(first, end - i, threads);
    if (library < 0) {
      kernels_unplan(operations, end);
      return -1;
    }
    if (first->region) first->division = kernels_divide(first, first->region, threads);
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
