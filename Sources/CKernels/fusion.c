/* Operations that are joined with the one behind them. */
#include "plan.h"

/* Whether an operation after the one at `index` has something to do with what stands there. */
static bool is_used_after(const kernels_operation *operations, int64_t count, int64_t index, uint64_t place) {
  for (int64_t i = index + 1; i < count; i++) {
    for (int k = 0; k < KERNELS_OPERANDS; k++) {
      if (operations[i].operands[k] == place) return true;
    }
  }
  return false;
}

/* Joins products and normalisations with the ReLU behind them. What they alone would have stored is then not stored: the
 * derivative looks at the output. */
static void join_activations(kernels_operation *operations, int64_t count) {
  for (int64_t i = 0; i + 1 < count; i++) {
    kernels_operation *p = &operations[i], *a = &operations[i + 1];
    bool is_relu = (a->code == KERNELS_ACTIVATION || a->code == KERNELS_ACTIVATION_DERIVATIVE)
        && (a->option == KERNELS_RELU || a->option == KERNELS_LEAKY_RELU);
    if (!is_relu || a->operands[1] != p->operands[0] || kernels_is_large_product(p)) continue;
    bool overwrites = a->operands[0] == p->operands[0];
    if (!overwrites && is_used_after(operations, count, i + 1, p->operands[0])) continue;
    if (a->code == KERNELS_ACTIVATION) {
      if (p->code != KERNELS_NORMALIZATION && (p->code != KERNELS_DENSE || !needs_transpose(p))) continue;
      p->joined = KERNELS_JOINED_ACTIVATION;
    } else {
      bool is_joinable = p->code == KERNELS_DENSE_INPUT_COTANGENT
          || (p->code == KERNELS_DENSE_TANGENT && needs_transpose(p));
      if (!is_joinable) continue;
      p->joined = KERNELS_JOINED_DERIVATIVE;
      p->operands[7] = a->operands[3];
    }
    p->operands[0] = a->operands[0];
    p->scalars[0] = a->option == KERNELS_RELU ? 0 : a->scalars[0];
    a->joined = KERNELS_JOINED_AWAY;
  }
}

/* Whether the value that stands in a place after the operation at `index` is read by a later one. */
static bool is_read_after(const kernels_operation *operations, int64_t count, int64_t index, uint64_t place) {
  for (int64_t i = index + 1; i < count; i++) {
    const kernels_operation *o = &operations[i];
    for (int k = 1; k < KERNELS_OPERANDS; k++) {
      if (o->operands[k] == place) return true;
    }
    if (o->operands[0] != place) continue;
    switch (o->code) {
      case KERNELS_FILL:
      case KERNELS_COPY:
      case KERNELS_SUM:
      case KERNELS_ACTIVATION:
      case KERNELS_ACTIVATION_DERIVATIVE:
      case KERNELS_NORMALIZATION:
      case KERNELS_NORMALIZATION_BACKWARD:
      case KERNELS_CONVOLUTION_INPUT_COTANGENT: return false;
      default: return true;
    }
  }
  return false;
}

/* Joins the derivative of a ReLU with the backward of the normalisation before it, in both parts. What the derivative alone
 * would have stored is then not stored, and where the ReLU is open follows from the normalisation's input. */
static void join_derivatives(kernels_operation *operations, int64_t count) {
  for (int64_t i = 0; i + 2 < count; i++) {
    kernels_operation *a = &operations[i], *sums = a + 1, *backward = a + 2;
    uint64_t result = a->operands[0];
    bool is_triple = a->code == KERNELS_ACTIVATION_DERIVATIVE && a->option == KERNELS_RELU && !a->joined
        && sums->code == KERNELS_NORMALIZATION_BACKWARD_SUMS && backward->code == KERNELS_NORMALIZATION_BACKWARD
        && sums->operands[0] == result && backward->operands[1] == result
        && a->rows * a->columns == sums->rows * sums->columns && has_own_form(sums)
        && is_bfloat16(sums, 0) == is_bfloat16(sums, 1) && is_bfloat16(backward, 0) == is_bfloat16(backward, 1);
    if (!is_triple || (backward->operands[0] != result && is_read_after(operations, count, i + 2, result))) continue;
    sums->operands[0] = backward->operands[1] = a->operands[1];
    sums->joined = backward->joined = KERNELS_JOINED_DERIVATIVE;
    a->joined = KERNELS_JOINED_AWAY;
  }
}

void kernels_fuse(kernels_operation *operations, int64_t count) {
  join_activations(operations, count);
  join_derivatives(operations, count);
}
