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
  int64_t inputs = o->rows * (int64_t)(o->scalars[0] * o->scalars[1]) * o->inner;
  int64_t outputs = o->rows * (int64_t)(o->scalars[2] * o->scalars[3]) * o->columns;
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
    return b->code == KERNELS_CONVOLUTION && b->scalars[7] != 0 && place_of(a, 0) == place_of(b, 0);
  }
  return a->code == KERNELS_CONVOLUTION_PARAMETER_COTANGENTS && b->code == KERNELS_CONVOLUTION_INPUT_COTANGENT
      && place_of(a, 2) == place_of(b, 1);
}

/* Whether sums are of the images that an operation wrote, all of them. */
static bool sums_up(const kernels_operation *o, const kernels_operation *written) {
  int64_t elements = elements_of(written);
  if (written->code == KERNELS_CONVOLUTION) elements *= (int64_t)(written->scalars[2] * written->scalars[3]);
  if (written->code == KERNELS_CONVOLUTION_INPUT_COTANGENT) {
    elements = written->rows * (int64_t)(written->scalars[0] * written->scalars[1]) * written->inner;
  }
  return place_of(o, 0) == place_of(written, 0) && elements_of(o) == elements && o->rows % written->rows == 0;
}

int64_t kernels_end_of_region(const kernels_operation *operations, int64_t first, int64_t count) {
  const kernels_operation *begin = operations + first, *end = begin + 1, *o = begin, *last = 0;
  while (end < operations + count && !end->begins_region) end++;
  for (; o < end && kind_of(o) == BY_ROWS && o->rows == begin->rows; o++) {
    if (o->joined != KERNELS_JOINED_AWAY) last = o;
  }
  int64_t convolutions = 0;
  if (o < end && kind_of(o) == CONVOLUTION) {
    convolutions = o + 1 < end && kind_of(o + 1) == CONVOLUTION && belong_together(o, o + 1) ? 2 : 1;
    bool joins = last && (convolves(o, last) || convolves(o + convolutions - 1, last));
    if (o > begin && !joins) convolutions = 0;
  }
  if (convolutions > 0) {
    o += convolutions;
    last = o - 1;
    // A derivative that the sums take in.
    while (o < end && o->joined == KERNELS_JOINED_AWAY) o++;
  }
  if (o < end && kind_of(o) == SUMS_BY_ROWS && (!last || sums_up(o, last))) o++;
  return o - operations;
}
