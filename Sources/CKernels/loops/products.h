/* Included by loops.h once for each instruction set. No include guard. */

/* MARK: Products
 *
 * c[m, n] (+)= Σ_k a[m, k] b[k, n], with a at any strides and rows of b and c side by side; then, unless the gate is none,
 * times `slope` where the gate is not positive. The gate has the shape of c, or is the result itself. */

enum { START_ZERO, START_BIAS, START_ADD };

/* Columns are worked on PANEL vectors at a time: of those that are left, the vectors of the next panel, and the lanes that
 * count in its last one. */
INLINE int64_t panel_width(int64_t left) { return left >= PANEL * LANES ? PANEL : (left + LANES - 1) / LANES; }
INLINE int64_t panel_tail(int64_t left) {
  return left >= PANEL * LANES ? LANES : left - (panel_width(left) - 1) * LANES;
}

/* A case for each width, which the compiler knows there. */
#if PANEL > 2
#define WIDTHS(CASE) CASE(4) CASE(3) CASE(2) CASE(1)
#else
#define WIDTHS(CASE) CASE(2) CASE(1)
#endif

typedef struct {
  const float *gate;
  bool is_own_gate;
  float slope;
} product_end;

/* Accumulators stay in registers only if every loop over them is unrolled. */
#define UNROLL _Pragma("clang loop unroll(full)")

/* Where the gate is positive `v`, elsewhere `v` times the slope. A ReLU of its own keeps NaN, which is not positive. */
INLINE vector gated(vector v, vector gate, bool is_own, bool is_leaky, float slope) {
  typedef int32_t int_vector __attribute__((vector_size(LANES * 4)));
  if (!is_leaky) return (vector)((int_vector)v & (is_own ? ~(gate < 0) : gate > 0));
  int_vector open = gate > 0;
  return (vector)(((int_vector)v & open) | ((int_vector)(v * slope) & ~open));
}

INLINE void gate_tile(
    int rows, int width, vector sums[TILE][PANEL], int64_t c_row, const float *gate, bool is_own, bool is_leaky,
    float slope) {
  UNROLL for (int m = 0; m < rows; m++) {
    UNROLL for (int v = 0; v < width; v++) {
      vector by = is_own ? sums[m][v] : load(gate + m * c_row + v * LANES);
      sums[m][v] = gated(sums[m][v], by, is_own, is_leaky, slope);
    }
  }
}

/* `rows` rows by `width` vectors, of which the last counts `tail` lanes; all accumulators in registers. */
INLINE void product_tile(
    int rows, int width, int64_t tail, int64_t inner, const float *a, int64_t a_row, int64_t a_column, const float *b,
    int64_t b_row, float *c, int64_t c_row, int start, const float *bias, product_end end) {
  vector sums[TILE][PANEL];
  UNROLL for (int v = 0; v < width; v++) {
    vector of_row = start == START_BIAS ? load(bias + v * LANES) : (vector){};
    UNROLL for (int m = 0; m < rows; m++) sums[m][v] = of_row;
  }
  if (start == START_ADD) {
    UNROLL for (int m = 0; m < rows; m++) {
      UNROLL for (int v = 0; v < width; v++) sums[m][v] = load(c + m * c_row + v * LANES);
    }
  }
  for (int64_t k = 0; k < inner; k++) {
    vector right[PANEL];
    UNROLL for (int v = 0; v < width; v++) right[v] = load(b + k * b_row + v * LANES);
    UNROLL for (int m = 0; m < rows; m++) {
      float left = a[m * a_row + k * a_column];
      UNROLL for (int v = 0; v < width; v++) sums[m][v] += left * right[v];
    }
  }
  if (end.is_own_gate && end.slope == 0) {
    gate_tile(rows, width, sums, c_row, 0, true, false, 0);
  } else if (end.is_own_gate) {
    gate_tile(rows, width, sums, c_row, 0, true, true, end.slope);
  } else if (end.gate && end.slope == 0) {
    gate_tile(rows, width, sums, c_row, end.gate, false, false, 0);
  } else if (end.gate) {
    gate_tile(rows, width, sums, c_row, end.gate, false, true, end.slope);
  }
  UNROLL for (int m = 0; m < rows; m++) {
    UNROLL for (int v = 0; v < width - 1; v++) store(c + m * c_row + v * LANES, sums[m][v]);
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
    int64_t width = panel_width(columns - n), tail = panel_tail(columns - n);
    const float *bias_panel = bias ? bias + n : 0;
    product_end panel_end = end;
    if (end.gate) panel_end.gate += n;
#define CASE(count)                                                                                                  \
  case count:                                                                                                        \
    product_panel(                                                                                                   \
        count, tail, rows, inner, a, a_row, a_column, b + n, b_row, c + n, c_row, start, bias_panel, panel_end);     \
    break;
    switch (width) { WIDTHS(CASE) }
#undef CASE
  }
}

typedef float quad __attribute__((vector_size(16), aligned(4)));

/* Rows become columns. */
INLINE void turn_square(quad v[4]) {
  quad low01 = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5);
  quad high01 = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7);
  quad low23 = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5);
  quad high23 = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
  v[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
  v[1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
  v[2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
  v[3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
}

INLINE float sum_of_lanes(vector v) {
  UNROLL for (int half = LANES / 2; half > 0; half /= 2) {
    vector other = v;
    UNROLL for (int i = 0; i < half; i++) other[i] = v[i + half];
    v += other;
  }
  return v[0];
}

/* `sum_of_lanes` of each, to the same bits, for little more than the time of one. */
INLINE quad sums_of_lanes(const vector v[4]) {
  quad rows[4];
  UNROLL for (int n = 0; n < 4; n++) {
    vector sum = v[n];
    UNROLL for (int half = LANES / 2; half >= 4; half /= 2) {
      vector other = sum;
      UNROLL for (int i = 0; i < half; i++) other[i] = sum[i + half];
      sum += other;
    }
    UNROLL for (int i = 0; i < 4; i++) rows[n][i] = sum[i];
  }
  turn_square(rows);
  return (rows[0] + rows[2]) + (rows[1] + rows[3]);
}

INLINE void dots_tile(
    int rows, int columns, int64_t inner, const float *a, int64_t a_row, const float *b, int64_t b_row, float *c,
    int64_t c_row, int start, const float *bias) {
  vector sums[2][4];
  UNROLL for (int m = 0; m < rows; m++) {
    UNROLL for (int n = 0; n < columns; n++) sums[m][n] = (vector){};
  }
  int64_t k = 0;
  for (; k + LANES <= inner; k += LANES) {
    UNROLL for (int m = 0; m < rows; m++) {
      vector left = load(a + m * a_row + k);
      UNROLL for (int n = 0; n < columns; n++) sums[m][n] += left * load(b + n * b_row + k);
    }
  }
  UNROLL for (int m = 0; m < rows; m++) {
    const float *left = a + m * a_row;
    float *to = c + m * c_row;
    if (columns == 4) {
      quad sum = k > 0 ? sums_of_lanes(sums[m]) : (quad){};
      for (int64_t i = k; i < inner; i++) sum += left[i] * (quad){b[i], b[b_row + i], b[2 * b_row + i], b[3 * b_row + i]};
      *(quad *)to = sum + (start == START_ZERO ? (quad){} : *(const quad *)(start == START_BIAS ? bias : to));
      continue;
    }
    UNROLL for (int n = 0; n < columns; n++) {
      float sum = k > 0 ? sum_of_lanes(sums[m][n]) : 0;
      for (int64_t i = k; i < inner; i++) sum += left[i] * b[n * b_row + i];
      to[n] = sum + (start == START_ZERO ? 0 : start == START_BIAS ? bias[n] : to[n]);
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

/* to[c, r] = from[r, c]; the rows of `to` are `stride` apart, and zero from `rows` on. In squares of four by four, whose
 * rows are registers. */
static void transpose(int64_t rows, int64_t columns, const float *from, float *to, int64_t stride) {
  int64_t whole = rows & ~(int64_t)3, c = 0;
  for (; c + 4 <= columns; c += 4) {
    for (int64_t r = 0; r < whole; r += 4) {
      quad v[4];
      for (int i = 0; i < 4; i++) v[i] = *(const quad *)(from + (r + i) * columns + c);
      turn_square(v);
      for (int i = 0; i < 4; i++) *(quad *)(to + (c + i) * stride + r) = v[i];
    }
  }
  for (; c < columns; c++) {
    for (int64_t r = 0; r < whole; r++) to[c * stride + r] = from[r * columns + c];
  }
  for (c = 0; c < columns; c++) {
    for (int64_t r = whole; r < rows; r++) to[c * stride + r] = from[r * columns + c];
    for (int64_t r = rows; r < stride; r++) to[c * stride + r] = 0;
  }
}
