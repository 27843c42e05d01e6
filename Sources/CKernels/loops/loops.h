/* The loops, for one instruction set: included once for each, with SUFFIX, LANES (floats in a vector), PANEL (vectors
 * that stand side by side in a tile of a product) and TILE (rows of such a tile) defined. No include guard.
 *
 * Vector loads may read up to 64 bytes past the end of a buffer; every buffer has that much padding. Stores never
 * leave it. */

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define NAME(name) JOIN(name, SUFFIX)
#define INLINE static inline __attribute__((always_inline))
#define DOUBLES (LANES / 2)

typedef float vector __attribute__((vector_size(LANES * 4)));
typedef float unaligned_vector __attribute__((vector_size(LANES * 4), aligned(4)));
typedef double double_vector __attribute__((vector_size(LANES * 4)));
typedef int64_t long_vector __attribute__((vector_size(LANES * 4)));
typedef uint64_t ulong_vector __attribute__((vector_size(LANES * 4)));

INLINE vector load(const float *x) { return *(const unaligned_vector *)x; }
INLINE void store(float *x, vector v) { *(unaligned_vector *)x = v; }
INLINE void store_first(float *x, vector v, int64_t count) {
  for (int64_t i = 0; i < count; i++) x[i] = v[i];
}

typedef float single_vector __attribute__((vector_size(LANES * 2), aligned(4)));
INLINE single_vector load_single(const float *x) { return *(const single_vector *)x; }
INLINE double_vector load_double(const float *x) { return __builtin_convertvector(load_single(x), double_vector); }

/* Where the condition holds `a`, elsewhere `b`. */
INLINE double_vector choose(long_vector condition, double_vector a, double_vector b) {
  return (double_vector)(((long_vector)a & condition) | ((long_vector)b & ~condition));
}

#include "functions.h"
#include "bfloat16.h"
#include "products.h"
#include "activations.h"
#include "random.h"
#include "logits.h"
#include "images.h"
#include "pixels.h"
#include "optimizers.h"

/* MARK: Operations on a range of rows
 *
 * `scratch` is the operation's own part of the thread's scratch memory. */

static const product_end plain_end = {0, false, 0};

/* What a layer's activation does to the product, where `kernels_plan` joined the two. */
INLINE product_end end_of(const kernels_operation *o, const float *gate) {
  product_end end = {gate, o->joined == KERNELS_JOINED_ACTIVATION, (float)o->scalar};
  return o->joined ? end : plain_end;
}

/* Rows that lie together: of channels last, all; of images in blocks, pixels of one example and one block. */
typedef struct {
  int64_t rows, columns;
  /* The first column, and the first element. */
  int64_t column, start;
  /* Where the last run ends, in elements. */
  int64_t end;
} stretch;

INLINE stretch stretch_at(const kernels_operation *o, int64_t start, int64_t end) {
  if (!has_blocks(o)) return (stretch){(end - start) / o->columns, o->columns, 0, start, end};
  int64_t of_block = o->inner * KERNELS_BLOCK, index = start / of_block, next = (index + 1) * of_block;
  int64_t column = index * KERNELS_BLOCK % o->columns;
  return (stretch){((next < end ? next : end) - start) / KERNELS_BLOCK, KERNELS_BLOCK, column, start, end};
}
INLINE stretch first_stretch(const kernels_operation *o, int64_t first, int64_t last) {
  return stretch_at(o, first * o->columns, last * o->columns);
}
/* Without rows behind the last. */
INLINE stretch next_stretch(const kernels_operation *o, stretch r) {
  return stretch_at(o, r.start + r.rows * r.columns, r.end);
}

#include "normalization.h"
#include "column_sums.h"

/* Where a thread adds up parameter cotangents: the first one in place. */
INLINE float *weight_sums(const kernels_operation *o, const kernels_run *run, float *scratch, int thread) {
  return thread == 0 ? operand(o, run, 0) : scratch;
}
INLINE float *bias_sums(const kernels_operation *o, const kernels_run *run, float *scratch, int thread) {
  return thread == 0 ? operand(o, run, 1) : scratch + o->inner * o->columns;
}

/* What a thread does before its first rows: weights transposed, sums zeroed, normalisation put into numbers a column. */
static void NAME(prepare)(const kernels_operation *o, const kernels_run *run, float *scratch, int thread) {
  if (is_summed_by_rows(o)) return prepare_sums(o, run, scratch);
  switch (o->code) {
    case KERNELS_DENSE:
      if (needs_transpose(o)) transpose(o->columns, o->inner, operand(o, run, 2), scratch, padded(o->columns));
      break;
    case KERNELS_DENSE_TANGENT:
      if (!needs_transpose(o)) break;
      transpose(o->columns, o->inner, operand(o, run, 4), scratch, padded(o->columns));
      if (o->operands[1]) {
        transpose(
            o->columns, o->inner, operand(o, run, 3), scratch + padded(o->columns) * o->inner, padded(o->columns));
      }
      break;
    case KERNELS_NORMALIZATION:
    case KERNELS_NORMALIZATION_BACKWARD:
    case KERNELS_NORMALIZATION_TANGENT: prepare_column_maps(o, run, scratch); break;
    case KERNELS_DENSE_PARAMETER_COTANGENTS:
      if (thread == 0 && run->accumulate) break;
      memset(weight_sums(o, run, scratch, thread), 0, (size_t)(o->inner * o->columns) * sizeof(float));
      if (o->operands[1]) memset(bias_sums(o, run, scratch, thread), 0, (size_t)o->columns * sizeof(float));
      break;
  }
}

/* output[N, O] = start + input[N, I] · weight[O, I]ᵀ */
static void dense_product(
    const kernels_operation *o, int64_t rows, float *output, const float *input, const float *weight,
    const float *transposed, int start, const float *bias, product_end end) {
  if (needs_transpose(o)) {
    product(
        rows, o->columns, o->inner, input, o->inner, 1, transposed, padded(o->columns), output, o->columns, start, bias,
        end);
  } else {
    product_by_dots(rows, o->columns, o->inner, input, o->inner, weight, o->inner, output, o->columns, start, bias);
  }
}

static void dense_parameter_cotangents(
    int64_t rows, int64_t outputs, int64_t inputs, const float *cotangent, const float *input, float *weight,
    float *bias) {
  if (inputs >= LANES || outputs < LANES || outputs > KERNELS_NARROW) {
    product(outputs, inputs, rows, cotangent, 1, outputs, input, inputs, weight, inputs, START_ADD, 0, plain_end);
  } else {
    /* Few inputs: the transpose has long rows. */
    float turned[LANES * KERNELS_NARROW];
    product(inputs, outputs, rows, input, 1, inputs, cotangent, outputs, turned, outputs, START_ZERO, 0, plain_end);
    for (int64_t i = 0; i < inputs; i++) {
      for (int64_t o = 0; o < outputs; o++) weight[o * inputs + i] += turned[i * outputs + o];
    }
  }
  if (!bias) return;
  int64_t o = 0;
  for (; o + 4 * LANES <= outputs; o += 4 * LANES) {
    vector sums[4];
    for (int v = 0; v < 4; v++) sums[v] = load(bias + o + v * LANES);
    for (int64_t n = 0; n < rows; n++) {
      for (int v = 0; v < 4; v++) sums[v] += load(cotangent + n * outputs + o + v * LANES);
    }
    for (int v = 0; v < 4; v++) store(bias + o + v * LANES, sums[v]);
  }
  for (; o < outputs; o++) {
    float sum = bias[o];
    for (int64_t n = 0; n < rows; n++) sum += cotangent[n * outputs + o];
    bias[o] = sum;
  }
}

/* MARK: The operations by rows */

static void float32_rows(
    const kernels_operation *o, const kernels_run *run, float *scratch, int thread, int64_t first, int64_t last) {
  int64_t rows = last - first, columns = o->columns, start = first * columns, count = rows * columns;
  float *x0 = operand(o, run, 0), *x1 = operand(o, run, 1), *x2 = operand(o, run, 2), *x3 = operand(o, run, 3);
  float *x4 = operand(o, run, 4), *x5 = operand(o, run, 5), *x7 = operand(o, run, 7);
  float scalar = (float)o->scalar;
  switch (o->code) {
    case KERNELS_FILL: for (int64_t i = start; i < start + count; i++) x0[i] = scalar; break;
    case KERNELS_COPY: memcpy(x0 + start, x1 + start, (size_t)count * 4); break;
    case KERNELS_SCALE: for (int64_t i = start; i < start + count; i++) x0[i] *= scalar; break;
    case KERNELS_ADD: {
      float *restrict y = x0;
      for (int64_t i = start; i < start + count; i++) y[i] += scalar * x1[i];
      break;
    }
    case KERNELS_MULTIPLY: {
      float *restrict y = x0;
      for (int64_t i = start; i < start + count; i++) y[i] = x1[i] * x2[i];
      break;
    }
    case KERNELS_SUM: {
      float *restrict y = x0;
      for (int64_t i = start; i < start + count; i++) y[i] = x1[i] + x2[i];
      break;
    }
    case KERNELS_MOVING_AVERAGE: {
      float *restrict y = x0;
      for (int64_t i = start; i < start + count; i++) y[i] = scalar * y[i] + (1 - scalar) * x1[i];
      break;
    }
    case KERNELS_LOGARITHM: logarithms(count, x0 + start, x1 + start, o->scalar); break;
    case KERNELS_ACTIVATION: activation(o->option, scalar, count, x0 + start, x1 + start); break;
    case KERNELS_ACTIVATION_DERIVATIVE:
      activation_derivative(o->option, scalar, count, x0 + start, x1 + start, x2 + start, x3 + start);
      break;
    case KERNELS_DROPOUT_MASK: dropout_mask(o, run, start, start + count, x0); break;
    case KERNELS_ADD_NORMAL: add_normal(o, run, start, start + count, x0); break;

    case KERNELS_AVERAGE_POOL: pool(POOL_AVERAGE, o, first, rows, x0, x1, 0); break;
    case KERNELS_AVERAGE_POOL_BACKWARD: pool(POOL_AVERAGE_BACKWARD, o, first, rows, x1, x0, 0); break;
    case KERNELS_MAX_POOL: pool(POOL_MAX, o, first, rows, x0, x1, x2); break;
    case KERNELS_MAX_POOL_BACKWARD: pool(POOL_MAX_BACKWARD, o, first, rows, x1, x0, x2); break;
    case KERNELS_MAX_POOL_TANGENT: pool(POOL_MAX_TANGENT, o, first, rows, x0, x1, x2); break;
    case KERNELS_SCALE_CHANNELS: {
      int64_t image = first * o->inner * columns;
      scale_channels(rows, o->inner, columns, o->option, x0 + image, x1 + image, x2 + start);
      break;
    }
    case KERNELS_SUM_PIXELS: {
      int64_t image = first * o->inner * columns;
      sum_pixels(rows, o->inner, columns, x0 + start, x1 + image, x2 + image);
      break;
    }
    case KERNELS_SCALE_ROWS: {
      float *restrict y = x0;
      for (int64_t n = first; n < last; n++) {
        for (int64_t i = n * columns; i < (n + 1) * columns; i++) y[i] = x2[n] * x1[i];
      }
      break;
    }

    case KERNELS_SGD: sgd(o, count, x0 + start, x1 + start, x2 ? x2 + start : 0); break;
    case KERNELS_ADAMW: adamw(o, count, x0 + start, x1 + start, x2 + start, x3 + start); break;
    case KERNELS_ADAMW_PULLBACK:
      adamw_pullback(o, count, x0 + start, x1 + start, x2 + start, x3 + start, x4 + start);
      break;
    case KERNELS_ADAMW_EFFECT: adamw_effect(o, count, x0 + start, x1 + start, x2 + start, x3 + start); break;

    case KERNELS_DENSE:
      dense_product(
          o, rows, x0 + start, x1 + first * o->inner, x2, scratch, x3 ? START_BIAS : START_ZERO, x3, end_of(o, 0));
      break;
    case KERNELS_DENSE_INPUT_COTANGENT:
      product(
          rows, o->inner, columns, x1 + start, columns, 1, x2, o->inner, x0 + first * o->inner, o->inner, START_ZERO, 0,
          end_of(o, x7 + first * o->inner));
      break;
    case KERNELS_DENSE_PARAMETER_COTANGENTS:
      dense_parameter_cotangents(
          rows, columns, o->inner, x2 + start, x3 + first * o->inner, weight_sums(o, run, scratch, thread),
          o->operands[1] ? bias_sums(o, run, scratch, thread) : 0);
      break;
    case KERNELS_DENSE_TANGENT:
      dense_product(
          o, rows, x0 + start, x2 + first * o->inner, x4, scratch, x5 ? START_BIAS : START_ZERO, x5,
          x1 ? plain_end : end_of(o, x7 + start));
      if (x1) {
        dense_product(
            o, rows, x0 + start, x1 + first * o->inner, x3, scratch + padded(columns) * o->inner, START_ADD, 0,
            end_of(o, x7 + start));
      }
      break;

    case KERNELS_NORMALIZATION:
    case KERNELS_NORMALIZATION_BACKWARD:
    case KERNELS_NORMALIZATION_TANGENT: normalization_rows(o, run, scratch, first, last); break;

    case KERNELS_SOFTMAX:
    case KERNELS_SOFTMAX_BACKWARD:
    case KERNELS_CROSS_ENTROPY: logits_rows(o, run, first, last); break;
    case KERNELS_SAMPLE: sample(o, run, first, last, x0, x1); break;
    case KERNELS_SMOOTH: {
      float kept = (float)(1 - o->scalar), spread = (float)(o->scalar / (double)o->inner);
      for (int64_t i = start; i < start + count; i++) x0[i] = kept * x0[i] + spread;
      break;
    }
    case KERNELS_ROW_MAXIMUM:
      for (int64_t n = first; n < last; n++) {
        float largest = x1[n * columns];
        for (int64_t c = 1; c < columns; c++) largest = x1[n * columns + c] > largest ? x1[n * columns + c] : largest;
        x0[n] = largest;
      }
      break;
    case KERNELS_CONFIDENCE_MASK:
      for (int64_t n = first; n < last; n++) {
        float largest = 0;
        for (int64_t c = 0; c < columns; c++) largest = x1[n * columns + c] > largest ? x1[n * columns + c] : largest;
        x0[n] = (double)largest >= o->scalar;
      }
      break;
  }
}

/* Whether the operation is one of those on elements, all bfloat16, that take no detour over float32 in memory. */
INLINE bool adds_bfloat16(const kernels_operation *o) {
  switch (o->code) {
    case KERNELS_SUM: return is_bfloat16(o, 0) && is_bfloat16(o, 1) && is_bfloat16(o, 2);
    case KERNELS_ADD: return is_bfloat16(o, 0) && is_bfloat16(o, 1);
    case KERNELS_ACTIVATION_DERIVATIVE:
      return o->option == KERNELS_RELU && is_bfloat16(o, 0) && is_bfloat16(o, 1) && is_bfloat16(o, 3);
    default: return false;
  }
}

static void half_elements(const kernels_operation *o, const kernels_run *run, int64_t first, int64_t last) {
  uint16_t *result = operand(o, run, 0), *a = operand(o, run, 1), *b = operand(o, run, o->code == KERNELS_SUM ? 2 : 3);
  float factor = (float)o->scalar;
  for (int64_t i = first; i < last; i += LANES) {
    int64_t lanes = last - i < LANES ? last - i : LANES;
    vector v = load_as(true, a + i);
    switch (o->code) {
      case KERNELS_SUM: v += load_as(true, b + i); break;
      case KERNELS_ADD: v = load_as(true, result + i) + factor * v; break;
      default: v = gated(v, load_as(true, b + i), false, false, 0);
    }
    store_as(true, result + i, v, lanes);
  }
}

/* The first operand is written, and by some operations read before. */
INLINE bool reads_result(const kernels_operation *o) {
  return o->code == KERNELS_SCALE || o->code == KERNELS_ADD || (o->code == KERNELS_SCALE_CHANNELS && o->option);
}

static void NAME(rows)(
    const kernels_operation *o, const kernels_run *run, float *scratch, int thread, int64_t first, int64_t last) {
  if (!has_bfloat16(o)) return float32_rows(o, run, scratch, thread, first, last);
  if (normalizes_bfloat16(o)) return normalization_rows(o, run, scratch, first, last);
  if (adds_bfloat16(o)) return half_elements(o, run, first * o->columns, last * o->columns);
  int64_t size = widened_rows(o);
  for (int64_t start = first; start < last; start += size) {
    int64_t end = last < start + size ? last : start + size;
    kernels_operation wide = *o;
    float *rooms = scratch + column_maps_room(o), *room = rooms;
    for (int i = 0; i < KERNELS_OPERANDS; i++) {
      if (!is_bfloat16(o, i)) continue;
      if (i > 0 || reads_result(o)) widened(o, run, i, start, end - start, room);
      // Counted from the operation's first row.
      wide.operands[i] = (uintptr_t)room - (uintptr_t)(start * row_length(o, i)) * sizeof(float);
      room += padded(size * row_length(o, i));
    }
    float32_rows(&wide, run, scratch, thread, start, end);
    if (!is_bfloat16(o, 0)) continue;
    int64_t length = row_length(o, 0);
    NAME(to_bfloat16)((end - start) * length, rooms, (uint16_t *)operand(o, run, 0) + start * length);
  }
}

/* MARK: Sums over all elements, chunk by chunk */

static double dot(int64_t count, const float *a, const float *b) {
  double_vector sums[4] = {{}, {}, {}, {}};
  int64_t i = 0;
  for (; i + 4 * DOUBLES <= count; i += 4 * DOUBLES) {
    for (int j = 0; j < 4; j++) {
      double_vector left, right;
      for (int l = 0; l < DOUBLES; l++) {
        left[l] = a[i + j * DOUBLES + l];
        right[l] = b[i + j * DOUBLES + l];
      }
      sums[j] += left * right;
    }
  }
  double_vector all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  double sum = 0;
  for (int l = 0; l < DOUBLES; l++) sum += all[l];
  for (; i < count; i++) sum += (double)a[i] * (double)b[i];
  return sum;
}

/* Whether all are finite: x − x is 0 for finite x and NaN for others. */
INLINE bool all_finite(int64_t count, const float *x) {
  int32_t odd = 0;
  for (int64_t i = 0; i < count; i++) odd |= x[i] - x[i] != 0;
  return !odd;
}

/* output ← (input − mean) / scale by column, from element `start` on. */
#define CONVERT(type)                                                                                            \
  {                                                                                                              \
    const type *from = (const type *)input;                                                                      \
    if (!mean) {                                                                                                 \
      for (int64_t i = start; i < start + count; i++) output[i] = (float)from[i];                                \
    } else {                                                                                                     \
      for (int64_t i = start, c = start % columns; i < start + count; i++, c = c + 1 == columns ? 0 : c + 1) {   \
        output[i] = (float)(((double)from[i] - mean[c]) / scale[c]);                                             \
      }                                                                                                          \
    }                                                                                                            \
    break;                                                                                                       \
  }

static void convert(
    int type, int64_t start, int64_t count, int64_t columns, float *restrict output, const void *input,
    const double *mean, const double *scale) {
  switch (type) {
    case 1: CONVERT(float)
    case 2: CONVERT(double)
    case 3: CONVERT(int64_t)
    case 4: CONVERT(uint8_t)
  }
}

static double NAME(chunk)(const kernels_operation *o, const kernels_run *run, int64_t first, int64_t last) {
  float *x0 = operand(o, run, 0), *x1 = operand(o, run, 1);
  switch (o->code) {
    case KERNELS_DOT: return dot(last - first, x0 + first, x1 + first);
    case KERNELS_ALL_FINITE: return all_finite(last - first, x0 + first) ? 0 : 1;
    case KERNELS_CONVERT:
      convert(
          o->option, first, last - first, o->columns, x0, x1, (double *)operand(o, run, 2),
          (double *)operand(o, run, 3));
      return all_finite(last - first, x0 + first) ? 0 : 1;
  }
  return 0;
}

/* target += partial: what another thread added up. */
static void NAME(reduce)(int64_t count, float *restrict target, const float *partial) {
  for (int64_t i = 0; i < count; i++) target[i] += partial[i];
}

const kernels_loops NAME(kernels_loops) = {
    NAME(prepare), NAME(rows),  NAME(columns), NAME(partial_sums), NAME(add_sums),
    NAME(finish_sums), NAME(chunk), NAME(reduce), NAME(to_bfloat16), NAME(round_to_bfloat16),
    NAME(widen),
    {NAME(blend_pixels), NAME(color_pixels), NAME(luma_sum), NAME(pixel_extremes), NAME(smooth_pixels)},
};

#undef UNROLL
#undef WIDTHS
#undef JOIN_
#undef JOIN
#undef NAME
#undef INLINE
#undef DOUBLES
