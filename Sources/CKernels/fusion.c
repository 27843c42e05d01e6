/* Operations that are joined with the one behind them. */
#include "plan.h"

#include <stdlib.h>

/* An operand of an operation. */
typedef struct {
  uint64_t place;
  int64_t operation;
  int operand;
} use;

/* All uses in a program, by place, then in the order in which they happen: an operation reads before it writes operand 0. */
typedef struct {
  const kernels_operation *operations;
  use *all;
  int64_t count;
} uses;

static int compare(const void *first, const void *second) {
  const use *a = first, *b = second;
  if (a->place != b->place) return a->place < b->place ? -1 : 1;
  if (a->operation != b->operation) return a->operation < b->operation ? -1 : 1;
  return b->operand - a->operand;
}

static bool find_uses(uses *u, const kernels_operation *operations, int64_t count) {
  u->operations = operations;
  u->count = 0;
  u->all = malloc((size_t)count * KERNELS_OPERANDS * sizeof *u->all);
  if (!u->all) return false;
  for (int64_t i = 0; i < count; i++) {
    for (int k = 0; k < KERNELS_OPERANDS; k++) {
      if (operations[i].operands[k]) u->all[u->count++] = (use){operations[i].operands[k], i, k};
    }
  }
  qsort(u->all, (size_t)u->count, sizeof *u->all, compare);
  return true;
}

/* The first use of a place by an operation after the one at `index`; null where there is none. */
static const use *use_after(const uses *u, int64_t index, uint64_t place) {
  int64_t low = 0, high = u->count;
  while (low < high) {
    int64_t middle = (low + high) / 2;
    const use *m = &u->all[middle];
    if (m->place < place || (m->place == place && m->operation <= index)) low = middle + 1; else high = middle;
  }
  return low < u->count && u->all[low].place == place ? &u->all[low] : 0;
}

/* Whether the value that stands in a place after the operation at `index` is read by a later one. */
static bool is_read_after(const uses *u, int64_t index, uint64_t place) {
  const use *next = use_after(u, index, place);
  return next && (next->operand > 0 || !facts_of(&u->operations[next->operation])->overwrites);
}

/* Joins products and normalisations with the ReLU behind them. What they alone would have stored is then not stored: the
 * derivative looks at the output. */
static void join_activations(kernels_operation *operations, int64_t count, const uses *u) {
  for (int64_t i = 0; i + 1 < count; i++) {
    kernels_operation *p = &operations[i], *a = &operations[i + 1];
    bool is_relu = (a->code == KERNELS_ACTIVATION || a->code == KERNELS_ACTIVATION_DERIVATIVE)
        && (a->option == KERNELS_RELU || a->option == KERNELS_LEAKY_RELU);
    if (!is_relu || a->operands[1] != p->operands[0] || kernels_is_large_product(p)) continue;
    bool overwrites = a->operands[0] == p->operands[0];
    if (!overwrites && use_after(u, i + 1, p->operands[0])) continue;
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
    p->scalar = a->option == KERNELS_RELU ? 0 : a->scalar;
    a->joined = KERNELS_JOINED_AWAY;
  }
}

/* Joins the derivative of a ReLU with the backward of the normalisation before it, in both parts. What the derivative alone
 * would have stored is then not stored, and where the ReLU is open follows from the normalisation's input. */
static void join_derivatives(kernels_operation *operations, int64_t count, const uses *u) {
  for (int64_t i = 0; i + 2 < count; i++) {
    kernels_operation *a = &operations[i], *sums = a + 1, *backward = a + 2;
    uint64_t result = a->operands[0];
    bool is_triple = a->code == KERNELS_ACTIVATION_DERIVATIVE && a->option == KERNELS_RELU && !a->joined
        && sums->code == KERNELS_NORMALIZATION_BACKWARD_SUMS && backward->code == KERNELS_NORMALIZATION_BACKWARD
        && sums->operands[0] == result && backward->operands[1] == result
        && a->rows * a->columns == sums->rows * sums->columns && has_own_form(sums)
        && is_bfloat16(sums, 0) == is_bfloat16(sums, 1) && is_bfloat16(backward, 0) == is_bfloat16(backward, 1);
    if (!is_triple || (backward->operands[0] != result && is_read_after(u, i + 2, result))) continue;
    sums->operands[0] = backward->operands[1] = a->operands[1];
    sums->joined = backward->joined = KERNELS_JOINED_DERIVATIVE;
    a->joined = KERNELS_JOINED_AWAY;
  }
}

bool kernels_fuse(kernels_operation *operations, int64_t count) {
  static void (*const joins[])(kernels_operation *, int64_t, const uses *) = {join_activations, join_derivatives};
  // Joining changes operands of operations that it has passed, so that uses are found again for what joins next.
  for (int i = 0; i < 2 && count > 1; i++) {
    uses u;
    if (!find_uses(&u, operations, count)) return false;
    joins[i](operations, count, &u);
    free(u.all);
  }
  return true;
}
