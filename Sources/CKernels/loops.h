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

/* Where the condition holds `a`, elsewhere `b`. */
INLINE double_vector choose(long_vector condition, double_vector a, double_vector b) {
  return (double_vector)(((long_vector)a & condition) | ((long_vector)b & ~condition));
}

/* MARK: Scalar functions */

/* Cephes' single-precision exponential (S. Moshier), within 1 unit in the last place. NaN stays NaN. */
INLINE float exponential(float x) {
  x = x > 88.3762626647949f ? 88.3762626647949f : x;
  x = x < -87.3365447504019f ? -87.3365447504019f : x;
  float rounded = x * 1.44269504088896341f + 12582912.f;
  union { float f; int32_t i; } bits = {rounded};
  float n = rounded - 12582912.f;
  float r = x - n * 0.693359375f + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  float y = p * r * r + r + 1.f;
  union { int32_t i; float f; } power = {(int32_t)((uint32_t)(bits.i - 0x4b400000 + 127) << 23)};
  return y * power.f;
}

/* The exponential has a largest value, of which a multiple of x would remain. */
INLINE float sigmoid(float x) { return x < -87.f ? 0.f : 1.f / (1.f + exponential(-x)); }

/* Cephes: an odd polynomial near 0, the exponential elsewhere. */
INLINE float hyperbolic_tangent(float x) {
  float magnitude = x < 0 ? -x : x, square = x * x;
  float p = -5.70498872745e-3f;
  p = p * square + 2.06390887954e-2f;
  p = p * square - 5.37397155531e-2f;
  p = p * square + 1.33314422036e-1f;
  p = p * square - 3.33332819422e-1f;
  float near = x + x * square * p;
  float far = 1.f - 2.f / (exponential(2.f * magnitude) + 1.f);
  return magnitude < 0.625f ? near : (x < 0 ? -far : far);
}

/* e^x for x ≤ 709: Taylor's series to the 13th power on |r| ≤ ln(2)/2. NaN stays NaN. */
INLINE double_vector exponential_of_doubles(double_vector x) {
  x = choose(x < -708, (double_vector){} - 708, x);
  double_vector shifted = x * 1.4426950408889634 + 6755399441055744.0;
  double_vector n = shifted - 6755399441055744.0;
  double_vector r = x - n * 6.93147180369123816490e-01 - n * 1.90821492927058770002e-10;
  double_vector p = (double_vector){} + 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  long_vector power = ((long_vector)shifted - 0x4338000000000000 + 1023) << 52;
  return p * (double_vector)power;
}

/* Natural logarithm of a positive finite number: 2 artanh((m - 1)/(m + 1)) + e ln 2, m in [√½, √2). NaN and infinity
 * stay what they are. */
INLINE double_vector logarithm_of_doubles(double_vector x) {
  long_vector bits = (long_vector)x;
  long_vector exponent = (bits - 0x3fe6a09e667f3bcd) >> 52;
  double_vector m = (double_vector)(bits - (exponent << 52));
  double_vector s = (m - 1) / (m + 1), square = s * s;
  double_vector p = (double_vector){} + 2.0 / 23;
  p = p * square + 2.0 / 21;
  p = p * square + 2.0 / 19;
  p = p * square + 2.0 / 17;
  p = p * square + 2.0 / 15;
  p = p * square + 2.0 / 13;
  p = p * square + 2.0 / 11;
  p = p * square + 2.0 / 9;
  p = p * square + 2.0 / 7;
  p = p * square + 2.0 / 5;
  p = p * square + 2.0 / 3;
  double_vector e = __builtin_convertvector(exponent, double_vector);
  double_vector result = s * square * p + 2 * s + e * 0.69314718055994530942;
  return choose(x - x == 0, result, x);
}

/* MARK: Products
 *
 * c[m, n] (+)= Σ_k a[m, k] b[k, n], with a at any strides and rows of b and c side by side; then, unless the gate is none,
 * times `slope` where the gate is not positive. The gate has the shape of c, or is the result itself. */

enum { START_ZERO, START_BIAS, START_ADD };

typedef struct {
  const float *gate;
  bool is_own_gate;
  float slope;
} product_end;

INLINE vector gated(vector v, vector gate, float slope) {
  typedef int32_t int_vector __attribute__((vector_size(LANES * 4)));
  int_vector open = gate > 0;
  // Written so that NaN stays NaN: it is not positive, and keeps its slope.
  vector other = slope == 0 ? (vector)((int_vector)v & (v != v)) : v * slope;
  return (vector)(((int_vector)v & open) | ((int_vector)other & ~open));
}

/* `rows` rows by `width` vectors, of which the last counts `tail` lanes; all accumulators in registers. */
INLINE void product_tile(
    int rows, int width, int64_t tail, int64_t inner, const float *a, int64_t a_row, int64_t a_column, const float *b,
    int64_t b_row, float *c, int64_t c_row, int start, const float *bias, product_end end) {
  vector sums[TILE][PANEL];
  for (int m = 0; m < rows; m++) {
    for (int v = 0; v < width; v++) {
      sums[m][v] = start == START_ZERO ? (vector){}
                 : start == START_BIAS ? load(bias + v * LANES) : load(c + m * c_row + v * LANES);
    }
  }
  for (int64_t k = 0; k < inner; k++) {
    vector right[PANEL];
    for (int v = 0; v < width; v++) right[v] = load(b + k * b_row + v * LANES);
    for (int m = 0; m < rows; m++) {
      float left = a[m * a_row + k * a_column];
      for (int v = 0; v < width; v++) sums[m][v] += left * right[v];
    }
  }
  if (end.gate || end.is_own_gate) {
    for (int m = 0; m < rows; m++) {
      for (int v = 0; v < width; v++) {
        vector gate = end.is_own_gate ? sums[m][v] : load(end.gate + m * c_row + v * LANES);
        sums[m][v] = gated(sums[m][v], gate, end.slope);
      }
    }
  }
  for (int m = 0; m < rows; m++) {
    for (int v = 0; v < width - 1; v++) store(c + m * c_row + v * LANES, sums[m][v]);
    float *last = c + m * c_row + (width - 1) * LANES;
    if (tail == LANES) {
      store(last, sums[m][width - 1]);
    } else {
      store_first(last, sums[m][width - 1], tail);
    }
  }
}

INLINE void product_panel(
    int width, int64_t tail, int64_t rows, int64_t inner, const float *a, int64_t a_row, int64_t a_column,
    const float *b, int64_t b_row, float *c, int64_t c_row, int start, const float *bias, product_end end) {
  for (; rows >= TILE; rows -= TILE) {
    product_tile(TILE, width, tail, inner, a, a_row, a_column, b, b_row, c, c_row, start, bias, end);
    a += TILE * a_row;
    c += TILE * c_row;
    if (end.gate) end.gate += TILE * c_row;
  }
  switch (rows) {
#define CASE(count) \
  case count: product_tile(count, width, tail, inner, a, a_row, a_column, b, b_row, c, c_row, start, bias, end); break;
#if TILE > 4
    CASE(5)
    CASE(4)
#endif
    CASE(3)
    CASE(2)
    CASE(1)
#undef CASE
  }
}

static void product(
    int64_t rows, int64_t columns, int64_t inner, const float *a, int64_t a_row, int64_t a_column, const float *b,
    int64_t b_row, float *c, int64_t c_row, int start, const float *bias, product_end end) {
  for (int64_t n = 0; n < columns; n += PANEL * LANES) {
    int64_t left = columns - n;
    int64_t width = left >= PANEL * LANES ? PANEL : (left + LANES - 1) / LANES;
    int64_t tail = left >= PANEL * LANES ? LANES : left - (width - 1) * LANES;
    const float *bias_panel = bias ? bias + n : 0;
    product_end panel_end = end;
    if (end.gate) panel_end.gate += n;
#define CASE(count)                                                                                                  \
  case count:                                                                                                        \
    product_panel(                                                                                                   \
        count, tail, rows, inner, a, a_row, a_column, b + n, b_row, c + n, c_row, start, bias_panel, panel_end);     \
    break;
    switch (width) {
#if PANEL > 2
      CASE(4)
      CASE(3)
#endif
      CASE(2)
      CASE(1)
    }
#undef CASE
  }
}

INLINE float sum_of_lanes(vector v) {
  for (int half = LANES / 2; half > 0; half /= 2) {
    vector other = v;
    for (int i = 0; i < half; i++) other[i] = v[i + half];
    v += other;
  }
  return v[0];
}

INLINE void dots_tile(
    int rows, int columns, int64_t inner, const float *a, int64_t a_row, const float *b, int64_t b_row, float *c,
    int64_t c_row, int start, const float *bias) {
  vector sums[2][4];
  for (int m = 0; m < rows; m++) {
    for (int n = 0; n < columns; n++) sums[m][n] = (vector){};
  }
  int64_t k = 0;
  for (; k + LANES <= inner; k += LANES) {
    for (int m = 0; m < rows; m++) {
      vector left = load(a + m * a_row + k);
      for (int n = 0; n < columns; n++) sums[m][n] += left * load(b + n * b_row + k);
    }
  }
  for (int m = 0; m < rows; m++) {
    for (int n = 0; n < columns; n++) {
      float sum = sum_of_lanes(sums[m][n]);
      for (int64_t i = k; i < inner; i++) sum += a[m * a_row + i] * b[n * b_row + i];
      float *to = c + m * c_row + n;
      *to = sum + (start == START_ZERO ? 0 : start == START_BIAS ? bias[n] : *to);
    }
  }
}

/* c[m, n] (+)= Σ_k a[m, k] b[n, k], for few rows or few columns: both operands are read along k, so that nothing needs
 * to be transposed. */
static void product_by_dots(
    int64_t rows, int64_t columns, int64_t inner, const float *a, int64_t a_row, const float *b, int64_t b_row,
    float *c, int64_t c_row, int start, const float *bias) {
  for (int64_t m = 0; m < rows; m += 2) {
    for (int64_t n = 0; n < columns; n += 4) {
      const float *a_tile = a + m * a_row, *b_tile = b + n * b_row, *bias_tile = bias ? bias + n : 0;
      float *c_tile = c + m * c_row + n;
#define CASE(m_count, n_count)                                                                                    \
  case (m_count) * 8 + (n_count):                                                                                 \
    dots_tile(m_count, n_count, inner, a_tile, a_row, b_tile, b_row, c_tile, c_row, start, bias_tile);            \
    break;
      switch ((rows - m > 1 ? 2 : 1) * 8 + (columns - n > 3 ? 4 : columns - n)) {
        CASE(1, 1) CASE(1, 2) CASE(1, 3) CASE(1, 4) CASE(2, 1) CASE(2, 2) CASE(2, 3) CASE(2, 4)
      }
#undef CASE
    }
  }
}

/* to[c, r] = from[r, c]; the rows of `to` are `stride` apart, and zero from `rows` on. */
static void transpose(int64_t rows, int64_t columns, const float *from, float *to, int64_t stride) {
  int64_t r = 0;
  for (; r + LANES <= rows; r += LANES) {
    for (int64_t c = 0; c < columns; c++) {
      vector v;
      for (int i = 0; i < LANES; i++) v[i] = from[(r + i) * columns + c];
      store(to + c * stride + r, v);
    }
  }
  for (int64_t c = 0; c < columns; c++) {
    for (int64_t i = r; i < rows; i++) to[c * stride + i] = from[i * columns + c];
    for (int64_t i = rows; i < stride; i++) to[c * stride + i] = 0;
  }
}

/* MARK: Operations on a range of rows
 *
 * `scratch` is the operation's own part of the thread's scratch memory. */

static const product_end plain_end = {0, false, 0};

/* What a layer's activation does to the product, where `kernels_plan` joined the two. */
INLINE product_end end_of(const kernels_operation *o, const float *gate) {
  product_end end = {gate, o->joined == KERNELS_JOINED_ACTIVATION, (float)o->scalars[0]};
  return o->joined ? end : plain_end;
}

/* Where a thread adds up parameter cotangents: the first one in place. */
INLINE float *weight_sums(const kernels_operation *o, const kernels_run *run, float *scratch, int thread) {
  return thread == 0 ? operand(o, run, 0) : scratch;
}
INLINE float *bias_sums(const kernels_operation *o, const kernels_run *run, float *scratch, int thread) {
  return thread == 0 ? operand(o, run, 1) : scratch + o->inner * o->columns;
}

/* What a thread does before its first rows: weights transposed, sums zeroed. */
static void NAME(prepare)(const kernels_operation *o, const kernels_run *run, float *scratch, int thread) {
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

static void activation(int function, int64_t count, float *restrict y, const float *x) {
  switch (function) {
    /* Written so that NaN stays NaN. */
    case KERNELS_RELU: for (int64_t i = 0; i < count; i++) y[i] = x[i] < 0 ? 0 : x[i]; break;
    case KERNELS_LEAKY_RELU: for (int64_t i = 0; i < count; i++) y[i] = x[i] > 0 ? x[i] : 0.01f * x[i]; break;
    case KERNELS_SIGMOID: for (int64_t i = 0; i < count; i++) y[i] = sigmoid(x[i]); break;
    case KERNELS_TANH: for (int64_t i = 0; i < count; i++) y[i] = hyperbolic_tangent(x[i]); break;
    case KERNELS_SWISH: for (int64_t i = 0; i < count; i++) y[i] = x[i] * sigmoid(x[i]); break;
  }
}

static void activation_derivative(
    int function, int64_t count, float *restrict r, const float *d, const float *x, const float *y) {
  switch (function) {
    /* The output has the input's sign; the input is not kept where the activation is joined to a product. */
    case KERNELS_RELU: for (int64_t i = 0; i < count; i++) r[i] = y[i] > 0 ? d[i] : 0; break;
    case KERNELS_LEAKY_RELU: for (int64_t i = 0; i < count; i++) r[i] = y[i] > 0 ? d[i] : 0.01f * d[i]; break;
    case KERNELS_SIGMOID: for (int64_t i = 0; i < count; i++) r[i] = d[i] * y[i] * (1 - y[i]); break;
    case KERNELS_TANH: for (int64_t i = 0; i < count; i++) r[i] = d[i] * (1 - y[i] * y[i]); break;
    case KERNELS_SWISH:
      for (int64_t i = 0; i < count; i++) {
        float s = sigmoid(x[i]);
        r[i] = d[i] * (s + y[i] * (1 - s));
      }
      break;
  }
}

/* Uniform values `first`..<`first` + 2 · DOUBLES of the run's draw, `first` even: Philox4x32-10 (Salmon et al., SC 2011),
 * as in Random.swift. A block of it makes two values. */
INLINE void uniform_pairs(
    const kernels_operation *o, const kernels_run *run, int64_t first, double_vector *even, double_vector *odd) {
  ulong_vector c0, c1 = (ulong_vector){} + (uint32_t)o->option;
  ulong_vector c2 = (ulong_vector){} + (uint32_t)run->draw, c3 = (ulong_vector){} + (run->draw >> 32);
  for (int i = 0; i < DOUBLES; i++) c0[i] = (uint32_t)(first / 2 + i);
  uint32_t k0 = (uint32_t)run->key, k1 = (uint32_t)(run->key >> 32);
  for (int round = 0; round < 10; round++) {
    ulong_vector p0 = (c0 & 0xffffffff) * 0xd2511f53, p1 = (c2 & 0xffffffff) * 0xcd9e8d57;
    c0 = (p1 >> 32) ^ c1 ^ k0;
    c1 = p1 & 0xffffffff;
    c2 = (p0 >> 32) ^ c3 ^ k1;
    c3 = p0 & 0xffffffff;
    k0 += 0x9e3779b9;
    k1 += 0xbb67ae85;
  }
  *even = __builtin_convertvector((c1 << 32 | c0) >> 11, double_vector) * 0x1p-53;
  *odd = __builtin_convertvector((c3 << 32 | c2) >> 11, double_vector) * 0x1p-53;
}

/* values[2 i], values[2 i + 1] = even[i], odd[i] */
INLINE void interleave(double_vector even, double_vector odd, double *values) {
  double both[2][DOUBLES];
  memcpy(both[0], &even, sizeof even);
  memcpy(both[1], &odd, sizeof odd);
  for (int i = 0; i < DOUBLES; i++) {
    values[2 * i] = both[0][i];
    values[2 * i + 1] = both[1][i];
  }
}

static void uniform_values(const kernels_operation *o, const kernels_run *run, int64_t first, double *values) {
  double_vector even, odd;
  uniform_pairs(o, run, first, &even, &odd);
  interleave(even, odd, values);
}

/* Standard normal values (Box and Muller, 1958) in place of the uniform ones, as in Random.swift. */
static void normal_values(const kernels_operation *o, const kernels_run *run, int64_t first, double *values) {
  double_vector u, v;
  uniform_pairs(o, run, first, &u, &v);
  double_vector radius = __builtin_elementwise_sqrt(-2 * logarithm_of_doubles(1 - u));
  /* 2πv = quarter · π/2 + r with r from −π/4 to π/4. */
  double_vector quarter = v * 4 + 6755399441055744.0 - 6755399441055744.0;
  double_vector r = (v - quarter * 0.25) * 6.283185307179586, square = r * r;
  double_vector cosine = (double_vector){} - 1.0 / 87178291200, sine = (double_vector){} + 1.0 / 6227020800;
  static const double cosines[] = {1.0 / 479001600, -1.0 / 3628800, 1.0 / 40320, -1.0 / 720, 1.0 / 24, -0.5, 1};
  static const double sines[] = {-1.0 / 39916800, 1.0 / 362880, -1.0 / 5040, 1.0 / 120, -1.0 / 6, 1};
  for (int i = 0; i < 7; i++) cosine = cosine * square + cosines[i];
  for (int i = 0; i < 6; i++) sine = sine * square + sines[i];
  sine *= r;
  long_vector q = __builtin_convertvector(quarter, long_vector);
  long_vector is_odd = (q & 1) != 0;
  double_vector x = choose(is_odd, sine, cosine), y = choose(is_odd, cosine, sine);
  x = choose(((q + 1) & 2) != 0, -x, x);
  y = choose((q & 2) != 0, -y, y);
  interleave(radius * x, radius * y, values);
}

/* Elements first..<last of x += deviation · values first..<last of the draw. */
static void add_normal(const kernels_operation *o, const kernels_run *run, int64_t first, int64_t last, float *x) {
  double deviation = o->scalars[0], values[2 * DOUBLES];
  for (int64_t start = first & ~(int64_t)1; start < last; start += 2 * DOUBLES) {
    normal_values(o, run, start, values);
    for (int64_t i = start < first ? 1 : 0; i < 2 * DOUBLES && start + i < last; i++) {
      x[start + i] += (float)(deviation * values[i]);
    }
  }
}

/* Elements first..<last of the mask are values first..<last of the draw. */
static void dropout_mask(const kernels_operation *o, const kernels_run *run, int64_t first, int64_t last, float *mask) {
  double rate = o->scalars[0], values[2 * DOUBLES];
  float kept = (float)(1 / (1 - rate));
  for (int64_t start = first & ~(int64_t)1; start < last; start += 2 * DOUBLES) {
    uniform_values(o, run, start, values);
    for (int64_t i = start < first ? 1 : 0; i < 2 * DOUBLES && start + i < last; i++) {
      mask[start + i] = values[i] < rate ? 0 : kept;
    }
  }
}

/* MARK: Row by row on logits
 *
 * In float64: the feedback is a difference of two nearly equal losses, and there are few classes. A tile of rows and
 * classes at a time, so that the exponentials fill vectors however few classes there are. */

enum { TILE_ELEMENTS = 512 };

typedef struct {
  /* Rows at a time, and classes of them at a time. */
  int64_t rows, width;
} tile_shape;

INLINE tile_shape tile_of(int64_t columns) {
  int64_t width = columns < TILE_ELEMENTS ? columns : TILE_ELEMENTS;
  return (tile_shape){TILE_ELEMENTS / width, width};
}

INLINE double_vector load_doubles(const double *x) {
  double_vector v;
  memcpy(&v, x, sizeof v);
  return v;
}

/* The largest logit of each row: NaN where the first one is. */
INLINE void largest_of_rows(int64_t rows, int64_t columns, const float *z, double *largest) {
  for (int64_t n = 0; n < rows; n++) {
    float most = z[n * columns];
    for (int64_t c = 1; c < columns; c++) most = z[n * columns + c] > most ? z[n * columns + c] : most;
    largest[n] = most;
  }
}

/* e[n, c] = exp((z[n, c] − largest[n]) · inverse) for `width` of the `columns` classes. */
INLINE void exponentials(
    int64_t rows, int64_t width, int64_t columns, const float *z, const double *largest, double inverse, double *e) {
  int64_t count = rows * width;
  for (int64_t n = 0; n < rows; n++) {
    for (int64_t c = 0; c < width; c++) e[n * width + c] = ((double)z[n * columns + c] - largest[n]) * inverse;
  }
  for (int64_t i = count; i % DOUBLES; i++) e[i] = 0;
  for (int64_t i = 0; i < count; i += DOUBLES) {
    double_vector v = exponential_of_doubles(load_doubles(e + i));
    memcpy(e + i, &v, sizeof v);
  }
}

/* sums[n] = Σ_c exp((z[n, c] − largest[n]) · inverse); the exponentials of the last classes stay in e. */
INLINE void sums_of_exponentials(
    int64_t rows, tile_shape tile, int64_t columns, const float *z, const double *largest, double inverse, double *e,
    double *sums) {
  for (int64_t n = 0; n < rows; n++) sums[n] = 0;
  for (int64_t start = 0; start < columns; start += tile.width) {
    int64_t width = columns - start < tile.width ? columns - start : tile.width;
    exponentials(rows, width, columns, z + start, largest, inverse, e);
    for (int64_t n = 0; n < rows; n++) {
      for (int64_t c = 0; c < width; c++) sums[n] += e[n * width + c];
    }
  }
}

INLINE void softmax(int64_t first, int64_t last, int64_t columns, float *p, const float *z, double temperature) {
  double e[TILE_ELEMENTS + DOUBLES], largest[TILE_ELEMENTS], sums[TILE_ELEMENTS], inverse = 1 / temperature;
  tile_shape tile = tile_of(columns);
  for (int64_t row = first; row < last; row += tile.rows) {
    int64_t rows = last - row < tile.rows ? last - row : tile.rows;
    const float *logits = z + row * columns;
    largest_of_rows(rows, columns, logits, largest);
    sums_of_exponentials(rows, tile, columns, logits, largest, inverse, e, sums);
    for (int64_t start = 0; start < columns; start += tile.width) {
      int64_t width = columns - start < tile.width ? columns - start : tile.width;
      if (columns > tile.width) exponentials(rows, width, columns, logits + start, largest, inverse, e);
      for (int64_t n = 0; n < rows; n++) {
        double share = 1 / sums[n];
        for (int64_t c = 0; c < width; c++) p[(row + n) * columns + start + c] = (float)(e[n * width + c] * share);
      }
    }
  }
}

INLINE void softmax_backward(
    int64_t first, int64_t last, int64_t columns, float *dz, const float *d, const float *p, const float *row_scale,
    double factor) {
  for (int64_t n = first; n < last; n++) {
    double scale = row_scale ? row_scale[n] * factor : factor, mean = 0;
    for (int64_t i = n * columns; i < (n + 1) * columns; i++) mean += (double)p[i] * d[i];
    for (int64_t i = n * columns; i < (n + 1) * columns; i++) dz[i] = (float)(scale * p[i] * (d[i] - mean));
  }
}

INLINE void cross_entropy(
    int64_t first, int64_t last, int64_t columns, double *losses, float *dz, const float *z, const float *targets,
    const float *row_scale, double temperature, double factor) {
  double e[TILE_ELEMENTS + DOUBLES], largest[TILE_ELEMENTS], inverse = 1 / temperature;
  double sums[TILE_ELEMENTS + DOUBLES], log_sums[TILE_ELEMENTS + DOUBLES], scales[TILE_ELEMENTS];
  tile_shape tile = tile_of(columns);
  for (int64_t row = first; row < last; row += tile.rows) {
    int64_t rows = last - row < tile.rows ? last - row : tile.rows;
    const float *logits = z + row * columns, *target = targets + row * columns;
    largest_of_rows(rows, columns, logits, largest);
    sums_of_exponentials(rows, tile, columns, logits, largest, inverse, e, sums);
    if (losses) {
      for (int64_t n = rows; n % DOUBLES; n++) sums[n] = 1;
      for (int64_t n = 0; n < rows; n += DOUBLES) {
        double_vector v = logarithm_of_doubles(load_doubles(sums + n));
        memcpy(log_sums + n, &v, sizeof v);
      }
      for (int64_t n = 0; n < rows; n++) {
        double loss = 0;
        for (int64_t i = n * columns; i < (n + 1) * columns; i++) {
          double log_probability = (logits[i] - largest[n]) * inverse - log_sums[n];
          /* A class without a target does not count, even where its logit is infinite. */
          double part = target[i] * log_probability;
          loss -= target[i] == 0 ? 0 : part;
        }
        losses[row + n] = loss;
      }
    }
    if (!dz) continue;
    /* Apart, because a masked load through a null pointer takes hundreds of cycles. */
    for (int64_t n = 0; n < rows; n++) scales[n] = factor * inverse;
    if (row_scale) {
      for (int64_t n = 0; n < rows; n++) scales[n] *= row_scale[row + n];
    }
    for (int64_t start = 0; start < columns; start += tile.width) {
      int64_t width = columns - start < tile.width ? columns - start : tile.width;
      if (columns > tile.width) exponentials(rows, width, columns, logits + start, largest, inverse, e);
      for (int64_t n = 0; n < rows; n++) {
        double total = 0;
        for (int64_t c = 0; c < columns; c++) total += target[n * columns + c];
        double share = total / sums[n];
        for (int64_t c = 0; c < width; c++) {
          int64_t i = n * columns + start + c;
          dz[row * columns + i] = (float)(scales[n] * (e[n * width + c] * share - target[i]));
        }
      }
    }
  }
}

INLINE void logits_rows_of(
    int64_t columns, const kernels_operation *o, const kernels_run *run, int64_t first, int64_t last) {
  float *x0 = operand(o, run, 0), *x1 = operand(o, run, 1), *x2 = operand(o, run, 2), *x3 = operand(o, run, 3);
  switch (o->code) {
    case KERNELS_SOFTMAX: softmax(first, last, columns, x0, x1, o->scalars[0]); break;
    case KERNELS_SOFTMAX_BACKWARD: softmax_backward(first, last, columns, x0, x1, x2, x3, o->scalars[0]); break;
    case KERNELS_CROSS_ENTROPY:
      cross_entropy(
          first, last, columns, (double *)x0, x1, x2, x3, operand(o, run, 4), o->scalars[0], o->scalars[1]);
      break;
  }
}

/* With the number of classes known to the compiler where it is so small that loops over it cost more than what they do. */
static void logits_rows(const kernels_operation *o, const kernels_run *run, int64_t first, int64_t last) {
  switch (o->columns) {
    case 2: logits_rows_of(2, o, run, first, last); break;
    case 3: logits_rows_of(3, o, run, first, last); break;
    case 4: logits_rows_of(4, o, run, first, last); break;
    default: logits_rows_of(o->columns, o, run, first, last); break;
  }
}

static void sample(
    const kernels_operation *o, const kernels_run *run, int64_t first, int64_t last, float *one_hot, const float *p) {
  int64_t classes = o->columns;
  double thresholds[2 * DOUBLES];
  memset(one_hot + first * classes, 0, (size_t)((last - first) * classes) * sizeof(float));
  for (int64_t start = first & ~(int64_t)1; start < last; start += 2 * DOUBLES) {
    uniform_values(o, run, start, thresholds);
    for (int64_t i = start < first ? 1 : 0; i < 2 * DOUBLES && start + i < last; i++) {
      const float *row = p + (start + i) * classes;
      /* The label is the number of classes whose cumulative probability does not exceed the threshold. */
      double cumulative = 0;
      int64_t label = 0;
      for (int64_t c = 0; c < classes - 1; c++) {
        cumulative += (double)row[c];
        label += !(cumulative > thresholds[i]);
      }
      one_hot[(start + i) * classes + label] = 1;
    }
  }
}

/* MARK: Optimisers */

static void sgd(const kernels_operation *o, int64_t count, float *restrict p, const float *restrict g, float *restrict m) {
  float scale = (float)o->scalars[0], factor = (float)o->scalars[1], rate = (float)o->scalars[2];
  float decay = (float)o->scalars[3];
  if (!m) {
    for (int64_t i = 0; i < count; i++) p[i] -= rate * (scale * g[i] + decay * p[i]);
  } else if (o->option) {
    for (int64_t i = 0; i < count; i++) {
      float d = scale * g[i] + decay * p[i];
      m[i] = factor * m[i] + d;
      p[i] -= rate * (d + factor * m[i]);
    }
  } else {
    for (int64_t i = 0; i < count; i++) {
      m[i] = factor * m[i] + (scale * g[i] + decay * p[i]);
      p[i] -= rate * m[i];
    }
  }
}

/* The scalars of AdamW: gradient scale, rate, beta1, beta2, epsilon, first and second correction, weight decay. */
#define ADAMW_SCALARS(o)                                                                              \
  float scale = (float)o->scalars[0], rate = (float)o->scalars[1], beta1 = (float)o->scalars[2];      \
  float beta2 = (float)o->scalars[3], epsilon = (float)o->scalars[4];                                 \
  float first = (float)o->scalars[5], second = (float)o->scalars[6];                                  \
  float fresh1 = (float)(1 - o->scalars[2]), fresh2 = (float)(1 - o->scalars[3]);

static void adamw(
    const kernels_operation *o, int64_t count, float *restrict p, const float *restrict g, float *restrict m,
    float *restrict v) {
  ADAMW_SCALARS(o)
  float kept = (float)(1 - o->scalars[1] * o->scalars[7]);
  for (int64_t i = 0; i < count; i++) {
    float fresh = scale * g[i];
    m[i] = beta1 * m[i] + fresh1 * fresh;
    v[i] = beta2 * v[i] + fresh2 * fresh * fresh;
    p[i] = kept * p[i] - rate * (m[i] / first / (__builtin_sqrtf(v[i] / second) + epsilon));
  }
}

static void adamw_pullback(
    const kernels_operation *o, int64_t count, float *restrict result, const float *cotangent, const float *g,
    const float *m, const float *v) {
  ADAMW_SCALARS(o)
  (void)beta1, (void)beta2;
  float of_first = fresh1 / first, of_second = fresh2 / second;
  for (int64_t i = 0; i < count; i++) {
    float m_hat = m[i] / first, root = __builtin_sqrtf(v[i] / second);
    float through_second = root == 0 ? 0 : m_hat * of_second * scale * g[i] / (root * (root + epsilon));
    result[i] = cotangent[i] * rate / (root + epsilon) * (of_first - through_second);
  }
}

static void adamw_effect(
    const kernels_operation *o, int64_t count, float *restrict result, const float *g, const float *m, const float *v) {
  ADAMW_SCALARS(o)
  for (int64_t i = 0; i < count; i++) {
    float fresh = scale * g[i];
    float with = rate * ((beta1 * m[i] + fresh1 * fresh) / first)
               / (__builtin_sqrtf((beta2 * v[i] + fresh2 * fresh * fresh) / second) + epsilon);
    float without = rate * (beta1 * m[i] / first) / (__builtin_sqrtf(beta2 * v[i] / second) + epsilon);
    result[i] = with - without;
  }
}

/* MARK: The operations by rows */

static void NAME(rows)(
    const kernels_operation *o, const kernels_run *run, float *scratch, int thread, int64_t first, int64_t last) {
  int64_t rows = last - first, columns = o->columns, start = first * columns, count = rows * columns;
  float *x0 = operand(o, run, 0), *x1 = operand(o, run, 1), *x2 = operand(o, run, 2), *x3 = operand(o, run, 3);
  float *x4 = operand(o, run, 4), *x5 = operand(o, run, 5), *x6 = operand(o, run, 6), *x7 = operand(o, run, 7);
  float scalar = (float)o->scalars[0];
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
    case KERNELS_MOVING_AVERAGE: {
      float *restrict y = x0;
      for (int64_t i = start; i < start + count; i++) y[i] = scalar * y[i] + (1 - scalar) * x1[i];
      break;
    }
    case KERNELS_ACTIVATION: activation(o->option, count, x0 + start, x1 + start); break;
    case KERNELS_ACTIVATION_DERIVATIVE:
      activation_derivative(o->option, count, x0 + start, x1 + start, x2 + start, x3 + start);
      break;
    case KERNELS_DROPOUT_MASK: dropout_mask(o, run, start, start + count, x0); break;
    case KERNELS_ADD_NORMAL: add_normal(o, run, start, start + count, x0); break;

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

    case KERNELS_NORMALIZATION: {
      const double *sums = (const double *)x6;
      for (int64_t n = first; n < last; n++) {
        for (int64_t c = 0; c < columns; c++) {
          int64_t i = n * columns + c;
          x4[i] = (float)((x1[i] - sums[c]) * sums[columns + c]);
          x0[i] = x2[c] * x4[i] + x3[c];
        }
      }
      break;
    }
    case KERNELS_NORMALIZATION_BACKWARD: {
      const double *sums = (const double *)x5;
      for (int64_t n = first; n < last; n++) {
        for (int64_t c = 0; c < columns; c++) {
          int64_t i = n * columns + c;
          x0[i] = (float)((double)(x2[c] * x4[c]) * (x1[i] - sums[c] - x3[i] * sums[columns + c]));
        }
      }
      break;
    }
    case KERNELS_NORMALIZATION_TANGENT: {
      const double *sums = (const double *)x7;
      for (int64_t n = first; n < last; n++) {
        for (int64_t c = 0; c < columns; c++) {
          int64_t i = n * columns + c;
          double through = x1 ? x6[c] * (x1[i] - sums[c] - x5[i] * sums[columns + c]) : 0;
          x0[i] = (float)(x2[c] * through + x3[c] * x5[i] + x4[c]);
        }
      }
      break;
    }

    case KERNELS_SOFTMAX:
    case KERNELS_SOFTMAX_BACKWARD:
    case KERNELS_CROSS_ENTROPY: logits_rows(o, run, first, last); break;
    case KERNELS_SAMPLE: sample(o, run, first, last, x0, x1); break;
    case KERNELS_SMOOTH: {
      float kept = (float)(1 - o->scalars[0]), spread = (float)(o->scalars[0] / (double)o->inner);
      for (int64_t i = start; i < start + count; i++) x0[i] = kept * x0[i] + spread;
      break;
    }
    case KERNELS_CONFIDENCE_MASK:
      for (int64_t n = first; n < last; n++) {
        float largest = 0;
        for (int64_t c = 0; c < columns; c++) largest = x1[n * columns + c] > largest ? x1[n * columns + c] : largest;
        x0[n] = (double)largest >= o->scalars[0];
      }
      break;
  }
}

/* MARK: The operations by columns */

/* sums[c] = Σ_n d[n, c], sums[columns + c] = Σ_n d[n, c] · e[n, c] (e may be none), for a range of columns. */
static void column_sums(
    int64_t rows, int64_t columns, int64_t first, int64_t last, const float *restrict d, const float *restrict e,
    double *restrict sums) {
  for (int64_t c = first; c < last; c++) sums[c] = sums[columns + c] = 0;
  for (int64_t n = 0; n < rows; n++) {
    for (int64_t c = first; c < last; c++) {
      double value = d[n * columns + c];
      sums[c] += value;
      if (e) sums[columns + c] += value * e[n * columns + c];
    }
  }
}

static void NAME(columns)(const kernels_operation *o, const kernels_run *run, int64_t first, int64_t last) {
  int64_t rows = o->rows, columns = o->columns;
  float *x0 = operand(o, run, 0), *x1 = operand(o, run, 1), *x2 = operand(o, run, 2), *x3 = operand(o, run, 3);
  float *x4 = operand(o, run, 4);
  switch (o->code) {
    /* The bias alone, beside a large product. */
    case KERNELS_DENSE_PARAMETER_COTANGENTS:
      for (int64_t c = first; c < last && !run->accumulate; c++) x1[c] = 0;
      for (int64_t n = 0; n < rows; n++) {
        for (int64_t c = first; c < last; c++) x1[c] += x2[n * columns + c];
      }
      break;
    case KERNELS_NORMALIZATION_STATISTICS: {
      double *restrict mean = (double *)x4, *restrict inverse = mean + columns;
      double epsilon = o->scalars[0], momentum = o->scalars[1];
      if (o->option == 0) {
        for (int64_t c = first; c < last; c++) {
          mean[c] = x1[c];
          inverse[c] = x2[c];
        }
      } else {
        column_sums(rows, columns, first, last, x0, 0, mean);
        for (int64_t c = first; c < last; c++) mean[c] /= (double)rows;
        for (int64_t n = 0; n < rows; n++) {
          for (int64_t c = first; c < last; c++) {
            double difference = x0[n * columns + c] - mean[c];
            inverse[c] += difference * difference;
          }
        }
        for (int64_t c = first; c < last; c++) inverse[c] /= (double)rows;
        if (o->option == 2) {
          double unbiased = (double)rows / (double)(rows - 1);
          for (int64_t c = first; c < last; c++) {
            x1[c] = (float)((1 - momentum) * x1[c] + momentum * mean[c]);
            x2[c] = (float)((1 - momentum) * x2[c] + momentum * inverse[c] * unbiased);
          }
        }
      }
      for (int64_t c = first; c < last; c++) {
        inverse[c] = 1 / __builtin_sqrt(inverse[c] + epsilon);
        x3[c] = (float)inverse[c];
      }
      break;
    }
    case KERNELS_NORMALIZATION_BACKWARD_SUMS: {
      double *restrict sums = (double *)x2;
      column_sums(rows, columns, first, last, x0, x1, sums);
      for (int64_t c = first; c < last; c++) {
        x3[c] = (float)sums[columns + c] + (run->accumulate ? x3[c] : 0);
        x4[c] = (float)sums[c] + (run->accumulate ? x4[c] : 0);
        sums[c] = o->option ? sums[c] / (double)rows : 0;
        sums[columns + c] = o->option ? sums[columns + c] / (double)rows : 0;
      }
      break;
    }
    case KERNELS_NORMALIZATION_TANGENT_SUMS: {
      double *restrict sums = (double *)x2;
      column_sums(rows, columns, first, last, x0, x1, sums);
      for (int64_t c = first; c < last; c++) {
        sums[c] = o->option ? sums[c] / (double)rows : 0;
        sums[columns + c] = o->option ? sums[columns + c] / (double)rows : 0;
      }
      break;
    }
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
    NAME(prepare), NAME(rows), NAME(columns), NAME(chunk), NAME(reduce),
};

#undef JOIN_
#undef JOIN
#undef NAME
#undef INLINE
#undef DOUBLES
