/* Regions. Operations that run block of rows by block: each thread does some rows, and with a block of them all operations, one
 * after the other, while it stays in the caches. In this order, each where it is there: operations by rows, all of as many;
 * the convolutions of one layer, which read what the last of those wrote, and whose examples then are the rows, those of a
 * part a block; and sums of what was written last, for which nothing in the region waits. */
#include "plan.h"

/* Without the form in which it is kept. */
static uint64_t place_of(const kernels_operation *o, int index) { return o->operands[index] & ~(3ull << 62); }

/* Of what an operation by rows writes, or sums up. */
static int64_t elements_of(const kernels_operation *o) { return o->rows * row_length(o, 0); }

/* Whether a convolution begins with the images that an operation by rows wrote, all of them. */
static bool convolves(const kernels_operation *o, const kernels_operation *rows) {
  int64_t inputs = o->rows * o->images.height * o->images.width * o->inner;
  int64_t outputs = o->rows * o->images.output_height * o->images.output_width * o->columns;
  uint64_t place = place_of(rows, 0);
  if (rows->rows % o->rows != 0) return false;
  switch (o->code) {
    case KERNELS_CONVOLUTION: return place_of(o, 1) == place && elements_of(rows) == inputs;
    case KERNELS_CONVOLUTION_INPUT_COTANGENT: return place_of(o, 1) == place && elements_of(rows) == outputs;
    default:
      return (place_of(o, 2) == place && elements_of(rows) == outputs)
          || (place_of(o, 3) == place && elements_of(rows) == inputs);
  }
}

/* Whether two convolutions are of the same pass of one layer. */
static bool belong_together(const kernels_operation *a, const kernels_operation *b) {
  if (a->code == KERNELS_CONVOLUTION) {
    return b->code == KERNELS_CONVOLUTION && b->images.accumulates && place_of(a, 0) == place_of(b, 0);
  }
  return a->code == KERNELS_CONVOLUTION_PARAMETER_COTANGENTS && b->code == KERNELS_CONVOLUTION_INPUT_COTANGENT
      && place_of(a, 2) == place_of(b, 1);
}

/* Whether sums are of the images that an operation wrote, all of them. */
static bool sums_up(const kernels_operation *o, const kernels_operation *written) {
  int64_t elements = elements_of(written);
  if (written->code == KERNELS_CONVOLUTION) elements *= written->images.output_height * written->images.output_width;
  if (written->code == KERNELS_CONVOLUTION_INPUT_COTANGENT) {
    elements = written->rows * written->images.height * written->images.width * written->inner;
  }
  return place_of(o, 0) == place_of(written, 0) && elements_of(o) == elements && o->rows % written->rows == 0;
}

/* Whether the region that begins with `begin` may go on with `o`. */
static bool goes_on(const kernels_operation *begin, const kernels_operation *o, int64_t count) {
  return o == begin || (o < begin + count && !o->begins_region);
}

int64_t kernels_length_of_region(const kernels_operation *begin, int64_t count) {
  const kernels_operation *o = begin, *last = 0;
  for (; goes_on(begin, o, count) && kind_of(o) == BY_ROWS && o->rows == begin->rows; o++) {
    if (o->joined != KERNELS_JOINED_AWAY) last = o;
  }
  int64_t convolutions = 0;
  if (goes_on(begin, o, count) && kind_of(o) == CONVOLUTION) {
    bool are_two = goes_on(begin, o + 1, count) && kind_of(o + 1) == CONVOLUTION && belong_together(o, o + 1);
    convolutions = are_two ? 2 : 1;
    bool joins = last && (convolves(o, last) || convolves(o + convolutions - 1, last));
    if (o > begin && !joins) convolutions = 0;
  }
  if (convolutions > 0) {
    o += convolutions;
    last = o - 1;
    // A derivative that the sums take in.
    while (goes_on(begin, o, count) && o->joined == KERNELS_JOINED_AWAY) o++;
  }
  if (goes_on(begin, o, count) && kind_of(o) == SUMS_BY_ROWS && (!last || sums_up(o, last))) o++;
  return o - begin;
}

kernels_division kernels_divide(const kernels_operation *operations, int64_t count, int allowed) {
  double cost = 0;
  int64_t widest = 1;
  bool has_products = false;
  kernels_division d = {1, 0, 0, 96};
  for (int64_t i = 0; i < count; i++) {
    const kernels_operation *o = &operations[i];
    if (kernels_is_convolution(o)) return kernels_division_of_convolution(o);
    // An operation that was joined to the sums behind it may have other rows.
    if (!d.rows && (o->joined != KERNELS_JOINED_AWAY || i == count - 1)) d.rows = o->rows;
    cost += kernels_cost_of_row(o);
    has_products |= is_dense(o);
    widest = larger(widest, o->columns);
  }
  d.threads = kernels_threads_for(cost * (double)d.rows, (d.rows + 15) / 16, allowed);
  // Whole cache lines for each thread, and whole examples, where sums begin with one; blocks that stay in the first-level
  // cache from one operation to the next.
  const kernels_operation *last = &operations[count - 1];
  int64_t unit = is_summed_by_rows(last) && has_blocks(last) ? last->inner : 16;
  d.rows_of_thread = d.rows;
  if (d.threads > 1) d.rows_of_thread = ((d.rows + d.threads - 1) / d.threads + unit - 1) / unit * unit;
  if (!has_products && 8192 / widest > 48) d.rows_of_block = 8192 / widest;
  // Sums alone.
  if (is_summed_by_rows(operations)) d.rows_of_block = d.rows_of_thread;
  return d;
}
