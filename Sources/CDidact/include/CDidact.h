/* The plain structs that cross the C interface. What stands between the markers is copied into didact.h. */
#ifndef CDIDACT_H
#define CDIDACT_H

#include <stdint.h>

/* begin didact.h */

/**
 * An array of the caller, borrowed for the call, or a view of the library's memory where a function says so.
 */
typedef struct didact_array {
  /** The first element. */
  void *data;
  /** A `didact_element_type`. */
  int32_t dtype;
  /** How many dimensions: 0 to 4. */
  int32_t ndim;
  /** The length of each dimension, outermost first. */
  const int64_t *shape;
  /** The distance in bytes between neighbours along each dimension; null for C order without gaps. */
  const int64_t *strides;
} didact_array;

/**
 * Where a fit stands, after one of its steps.
 */
typedef struct didact_progress {
  /** The bytes of this struct in the library: later versions may have further members behind these. */
  int64_t size;
  /** Steps completed over the trainer's life. */
  int64_t step;
  /** Steps there will be when this fit ends. */
  int64_t steps;
  /** Seconds since this fit began. */
  double seconds;
  /** The student's loss of this step; 0 where the method has none, as for the others. */
  double student_loss;
  /** The supervised loss of this step. */
  double supervised_loss;
  /** The loss on unlabelled rows of this step, whatever the method calls it. */
  double unlabeled_loss;
  /** How much the student's labelled loss fell by this step. */
  double feedback;
} didact_progress;

/* end didact.h */

#endif
