/* Included by loops.h once for each instruction set. No include guard. */

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

/* From mean and variance: the running ones moved, the inverse deviation in place of the variance. */
static void finish_statistics(const kernels_operation *o, const kernels_run *run, int64_t first, int64_t last) {
  float *running_mean = operand(o, run, 1), *running_variance = operand(o, run, 2);
  double *restrict mean = (double *)operand(o, run, 3), *restrict inverse = mean + o->columns;
  double epsilon = o->statistics.epsilon, momentum = o->statistics.momentum, rows = (double)o->rows;
  for (int64_t c = first; c < last && o->option == 2; c++) {
    running_mean[c] = (float)((1 - momentum) * running_mean[c] + momentum * mean[c]);
    running_variance[c] = (float)((1 - momentum) * running_variance[c] + momentum * inverse[c] * (rows / (rows - 1)));
  }
  for (int64_t c = first; c < last; c++) inverse[c] = 1 / __builtin_sqrt(inverse[c] + epsilon);
}

/* From sums of d and of d · x: those of d · x̂, the cotangents of weight and bias, of a backward, and means in place of
 * the sums. */
static void finish_cotangent_sums(const kernels_operation *o, const kernels_run *run, int64_t first, int64_t last) {
  int64_t columns = o->columns;
  const double *mean = (const double *)operand(o, run, 2), *inverse = mean + columns;
  double *restrict sums = (double *)operand(o, run, 3), rows = (double)o->rows;
  for (int64_t c = first; c < last; c++) sums[columns + c] = (sums[columns + c] - mean[c] * sums[c]) * inverse[c];
  if (o->code == KERNELS_NORMALIZATION_BACKWARD_SUMS) {
    float *weight = operand(o, run, 4), *bias = operand(o, run, 5);
    bool adds = run->accumulate || o->option & 2;
    for (int64_t c = first; c < last; c++) {
      weight[c] = (float)sums[columns + c] + (adds ? weight[c] : 0);
      bias[c] = (float)sums[c] + (adds ? bias[c] : 0);
    }
  }
  for (int64_t c = first; c < last; c++) {
    sums[c] = o->option & 1 ? sums[c] / rows : 0;
    sums[columns + c] = o->option & 1 ? sums[columns + c] / rows : 0;
  }
}

static void NAME(columns)(const kernels_operation *o, const kernels_run *run, int64_t first, int64_t last) {
  int64_t rows = o->rows, columns = o->columns;
  float *x0 = operand(o, run, 0), *x1 = operand(o, run, 1), *x2 = operand(o, run, 2), *x3 = operand(o, run, 3);
  switch (o->code) {
    /* The bias alone, beside a large product or a convolution. */
    case KERNELS_DENSE_PARAMETER_COTANGENTS:
      for (int64_t start = first; start < last; start += 64) {
        int64_t width = last - start < 64 ? last - start : 64;
        double sums[64] = {0};
        for (int64_t n = 0; n < rows; n++) {
          for (int64_t c = 0; c < width; c++) sums[c] += x2[n * columns + start + c];
        }
        for (int64_t c = 0; c < width; c++) x1[start + c] = (float)sums[c] + (run->accumulate ? x1[start + c] : 0);
      }
      break;
    case KERNELS_NORMALIZATION_STATISTICS: {
      double *restrict mean = (double *)x3, *restrict inverse = mean + columns;
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
      }
      finish_statistics(o, run, first, last);
      break;
    }
    case KERNELS_NORMALIZATION_BACKWARD_SUMS:
    case KERNELS_NORMALIZATION_TANGENT_SUMS:
      column_sums(rows, columns, first, last, x0, x1, (double *)x3);
      finish_cotangent_sums(o, run, first, last);
      break;
  }
}

/* MARK: The same sums by rows, for many rows of few columns, and for what is kept as bfloat16 */

/* sums[c] += Σ_n v, products[c] += Σ_n v², four rows at a time, with v = x − shift, which keeps their difference
 * precise. */
INLINE void add_squares(
    int64_t rows, int64_t columns, const float *x, const float *shift, double *restrict sums,
    double *restrict products) {
  int64_t n = 0;
  for (; n + 4 <= rows; n += 4, x += 4 * columns) {
    for (int64_t c = 0; c < columns; c++) {
      double s = shift[c], v0 = x[c] - s, v1 = x[columns + c] - s;
      double v2 = x[2 * columns + c] - s, v3 = x[3 * columns + c] - s;
      sums[c] += (v0 + v1) + (v2 + v3);
      products[c] += (v0 * v0 + v1 * v1) + (v2 * v2 + v3 * v3);
    }
  }
  for (; n < rows; n++, x += columns) {
    for (int64_t c = 0; c < columns; c++) {
      double v = x[c] - (double)shift[c];
      sums[c] += v;
      products[c] += v * v;
    }
  }
}

/* sums[c] += Σ_n d, products[c] += Σ_n d · x */
INLINE void add_products(
    int64_t rows, int64_t columns, const float *d, const float *x, double *restrict sums, double *restrict products) {
  int64_t n = 0;
  for (; n + 4 <= rows; n += 4, d += 4 * columns, x += 4 * columns) {
    for (int64_t c = 0; c < columns; c++) {
      double v0 = d[c], v1 = d[columns + c], v2 = d[2 * columns + c], v3 = d[3 * columns + c];
      sums[c] += (v0 + v1) + (v2 + v3);
      products[c] += (v0 * x[c] + v1 * x[columns + c]) + (v2 * x[2 * columns + c] + v3 * x[3 * columns + c]);
    }
  }
  for (; n < rows; n++, d += columns, x += columns) {
    for (int64_t c = 0; c < columns; c++) {
      double v = d[c];
      sums[c] += v;
      products[c] += v * x[c];
    }
  }
}

/* The same of what is kept as bfloat16, in float32 for so many rows at a time, `width` vectors of columns of which the
 * last counts `tail` lanes. d less the shift, or x, is the other factor; without both it is d. */
enum { HALF_ROWS = 32 };

INLINE void add_half_panel(
    int width, int64_t tail, bool d_is_half, bool x_is_half, bool is_gated, relu_gate gate, int64_t rows,
    int64_t columns, const char *d, const char *x, const float *shift, double *sums, double *products) {
  int64_t d_size = d_is_half ? 2 : 4, x_size = x_is_half ? 2 : 4;
  for (int64_t n = 0; n < rows; n += HALF_ROWS) {
    vector sum[PANEL], product[PANEL], less[PANEL], of_gate[3][PANEL];
    UNROLL for (int v = 0; v < width; v++) {
      sum[v] = product[v] = (vector){};
      less[v] = shift ? load(shift + v * LANES) : (vector){};
      for (int i = 0; i < 3 && is_gated; i++) of_gate[i][v] = load(gate.maps + i * gate.stride + v * LANES);
    }
    int64_t count = rows - n < HALF_ROWS ? rows - n : HALF_ROWS;
    for (int64_t i = 0; i < count; i++, d += columns * d_size) {
      UNROLL for (int v = 0; v < width; v++) {
        vector a = load_as(d_is_half, d + v * LANES * d_size);
        vector other = x ? load_as(x_is_half, x + v * LANES * x_size) : a;
        if (shift) other = a -= less[v];
        if (is_gated) a = gated(a, (other - of_gate[0][v]) * of_gate[1][v] + of_gate[2][v], false, false, 0);
        sum[v] += a;
        product[v] += a * other;
      }
      if (x) x += columns * x_size;
    }
    UNROLL for (int v = 0; v < width; v++) {
      for (int64_t i = 0; i < (v < width - 1 ? LANES : tail); i++) {
        sums[v * LANES + i] += sum[v][i];
        products[v * LANES + i] += product[v][i];
      }
    }
  }
}

static void add_half_sums(
    const kernels_operation *o, const kernels_run *run, relu_gate gate, int64_t origin, int64_t first, int64_t last,
    double *sums, double *products) {
  bool is_statistics = o->code == KERNELS_NORMALIZATION_STATISTICS;
  bool is_bias = o->code == KERNELS_DENSE_PARAMETER_COTANGENTS;
  int of = is_bias ? 2 : 0;
  bool d_is_half = is_bfloat16(o, of), x_is_half = is_bfloat16(o, 1), has_x = !is_statistics && !is_bias;
  int64_t columns = o->columns, d_size = d_is_half ? 2 : 4, x_size = x_is_half ? 2 : 4;
  const char *d = operand(o, run, of), *x = has_x ? operand(o, run, 1) : 0;
  for (int64_t n = 0; n < columns; n += PANEL * LANES) {
    int64_t width = panel_width(columns - n), tail = panel_tail(columns - n);
    const char *from = d + (first * columns + n) * d_size, *other = x ? x + (first * columns + n) * x_size : 0;
    float shift[PANEL * LANES];
    for (int v = 0; is_statistics && v < width; v++) {
      store(shift + v * LANES, load_as(d_is_half, d + (origin * columns + n + v * LANES) * d_size));
    }
    relu_gate of_panel = {gate.maps ? gate.maps + n : 0, gate.stride};
#define CASE(count, half_d, half_x, is_gated)                                                                        \
  case (count) * 8 + (half_d) * 4 + (half_x) * 2 + (is_gated):                                                       \
    add_half_panel(                                                                                                  \
        count, tail, half_d, half_x, is_gated, of_panel, last - first, columns, from, other,                         \
        is_statistics ? shift : 0, sums + n, products + n);                                                          \
    break;
#define CASES(count) \
  CASE(count, 0, 0, 0) CASE(count, 0, 1, 0) CASE(count, 1, 0, 0) CASE(count, 1, 1, 0) CASE(count, 1, 1, 1)
    switch (width * 8 + d_is_half * 4 + (has_x && x_is_half) * 2 + (gate.maps != 0)) { WIDTHS(CASES) }
#undef CASES
#undef CASE
  }
}

/* The same of pixels of one block: d less the shift, or x, is the other factor; without both it is d. */
INLINE void add_block(
    bool is_gated, relu_gate gate, int64_t rows, const float *d, const float *x, const float *shift,
    double *restrict sums, double *restrict products) {
  enum { VECTORS = KERNELS_BLOCK / DOUBLES };
  double_vector sum[VECTORS], product[VECTORS], less[VECTORS];
  single_vector of_gate[3][VECTORS];
  UNROLL for (int v = 0; v < VECTORS; v++) {
    sum[v] = product[v] = (double_vector){};
    less[v] = shift ? load_double(shift + v * DOUBLES) : (double_vector){};
    for (int i = 0; i < 3 && is_gated; i++) of_gate[i][v] = load_single(gate.maps + i * gate.stride + v * DOUBLES);
  }
  for (int64_t n = 0; n < rows; n++, d += KERNELS_BLOCK) {
    UNROLL for (int v = 0; v < VECTORS; v++) {
      double_vector a = load_double(d + v * DOUBLES) - less[v];
      if (is_gated) {
        single_vector y = load_single(x + n * KERNELS_BLOCK + v * DOUBLES);
        y = (y - of_gate[0][v]) * of_gate[1][v] + of_gate[2][v];
        a = choose(__builtin_convertvector(y > 0, long_vector), a, (double_vector){});
      }
      sum[v] += a;
      product[v] += a * (x ? load_double(x + n * KERNELS_BLOCK + v * DOUBLES) : a);
    }
  }
  UNROLL for (int v = 0; v < VECTORS; v++) {
    for (int i = 0; i < DOUBLES; i++) {
      sums[v * DOUBLES + i] += sum[v][i];
      products[v * DOUBLES + i] += product[v][i];
    }
  }
}

static void add_block_sums(
    const kernels_operation *o, const kernels_run *run, relu_gate gate, int64_t origin, int64_t first, int64_t last,
    double *sums, double *products) {
  bool is_statistics = o->code == KERNELS_NORMALIZATION_STATISTICS;
  bool is_bias = o->code == KERNELS_DENSE_PARAMETER_COTANGENTS;
  const float *d = operand(o, run, is_bias ? 2 : 0), *x = operand(o, run, 1);
  for (stretch r = first_stretch(o, first, last); r.rows > 0; r = next_stretch(o, r)) {
    double *to = sums + r.column, *too = products + r.column;
    const float *shift = d + origin * o->columns + r.column * o->inner;
    relu_gate of_block = {gate.maps ? gate.maps + r.column : 0, gate.stride};
    if (is_statistics) {
      add_block(false, gate, r.rows, d + r.start, 0, shift, to, too);
    } else if (is_bias) {
      add_block(false, gate, r.rows, d + r.start, 0, 0, to, too);
    } else if (gate.maps) {
      add_block(true, of_block, r.rows, d + r.start, x + r.start, 0, to, too);
    } else {
      add_block(false, gate, r.rows, d + r.start, x + r.start, 0, to, too);
    }
  }
}

/* The gate stands behind the sums. */
INLINE float *gate_behind_sums(const kernels_operation *o, float *scratch) { return scratch + padded(4 * o->columns); }

static void prepare_sums(const kernels_operation *o, const kernels_run *run, float *scratch) {
  memset(scratch, 0, (size_t)o->columns * 2 * sizeof(double));
  prepare_gate(o, run, gate_behind_sums(o, scratch));
}

/* What a range of rows adds to sums and products of each column. Those of statistics are of x less the row at `origin`, by
 * which the difference keeps its precision. */
static void NAME(partial_sums)(
    const kernels_operation *o, const kernels_run *run, float *scratch, int64_t origin, int64_t first, int64_t last) {
  int64_t columns = o->columns, rows = last - first;
  double *sums = (double *)scratch, *products = sums + columns;
  relu_gate gate = {gate_room(o) > 0 ? gate_behind_sums(o, scratch) : 0, padded(columns)};
  if (has_bfloat16(o)) return add_half_sums(o, run, gate, origin, first, last, sums, products);
  if (has_blocks(o)) return add_block_sums(o, run, gate, origin, first, last, sums, products);
  const float *d = (const float *)operand(o, run, 0), *from = d + first * columns;
  if (o->code == KERNELS_NORMALIZATION_STATISTICS) {
    add_squares(rows, columns, from, d + origin * columns, sums, products);
  } else {
    add_products(rows, columns, from, (const float *)operand(o, run, 1) + first * columns, sums, products);
  }
}

/* An element of the first operand, in the first row of an example where images are in blocks. */
static double element(const kernels_operation *o, const kernels_run *run, int64_t row, int64_t column) {
  const void *x = operand(o, run, 0);
  // Of the first pixel.
  int64_t in_row = has_blocks(o) ? column / KERNELS_BLOCK * KERNELS_BLOCK * o->inner + column % KERNELS_BLOCK : column;
  int64_t at = row * o->columns + in_row;
  if (!is_bfloat16(o, 0)) return ((const float *)x)[at];
  float wide;
  NAME(widen)(1, (const uint16_t *)x + at, &wide);
  return wide;
}

/* total += the sums of so many rows from `origin` on; those of statistics made such as are of x less the first row. */
static void NAME(add_sums)(
    const kernels_operation *o, const kernels_run *run, int64_t origin, int64_t rows, const float *scratch,
    float *total) {
  const double *sums = (const double *)scratch, *products = sums + o->columns;
  double *to = (double *)total, *too = to + o->columns;
  for (int64_t c = 0; c < o->columns; c++) {
    bool is_shifted = o->code == KERNELS_NORMALIZATION_STATISTICS;
    double shift = is_shifted ? element(o, run, origin, c) - element(o, run, 0, c) : 0;
    to[c] += sums[c] + (double)rows * shift;
    too[c] += products[c] + 2 * shift * sums[c] + (double)rows * shift * shift;
  }
}

/* What the operation makes of the sums over all rows. */
static void NAME(finish_sums)(const kernels_operation *o, const kernels_run *run, const float *sums_of_all) {
  const double *total = (const double *)sums_of_all;
  int64_t columns = o->columns;
  double rows = (double)o->rows;
  switch (o->code) {
    case KERNELS_DENSE_PARAMETER_COTANGENTS: {
      float *bias = operand(o, run, 1);
      for (int64_t c = 0; c < columns; c++) bias[c] = (float)total[c] + (run->accumulate ? bias[c] : 0);
      break;
    }
    case KERNELS_NORMALIZATION_STATISTICS: {
      double *restrict mean = (double *)operand(o, run, 3), *restrict inverse = mean + columns;
      for (int64_t c = 0; c < columns; c++) {
        double difference = total[c] / rows, variance = total[columns + c] / rows - difference * difference;
        mean[c] = element(o, run, 0, c) + difference;
        /* Written so that NaN stays NaN. */
        inverse[c] = variance < 0 ? 0 : variance;
      }
      finish_statistics(o, run, 0, columns);
      break;
    }
    case KERNELS_NORMALIZATION_BACKWARD_SUMS:
    case KERNELS_NORMALIZATION_TANGENT_SUMS: {
      double *restrict sums = (double *)operand(o, run, 3);
      for (int64_t c = 0; c < 2 * columns; c++) sums[c] = total[c];
      finish_cotangent_sums(o, run, 0, columns);
      break;
    }
  }
}
