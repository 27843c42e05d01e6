/* Included by loops.h once for each instruction set. No include guard. */

/* MARK: Batch normalisation by rows
 *
 * What it makes of x, and of a cotangent or tangent d, is of one form in each column: a d + b (x − mean) + c, with the
 * deviation's inverse i, weight w, bias β, and the means over the rows of d and of d ⊙ x̂:
 *
 *   forward   y = w x̂ + β                                      b = w i                        c = β
 *   backward  x̄ = w i (d − mean d − x̂ · mean d x̂)              a = w i,  b = −a i mean d x̂    c = −a mean d
 *   tangent   ẏ = w i (d − mean d − x̂ · mean d x̂) + w˙ x̂ + β˙  the same, and b += w˙ i,       c += β˙
 *
 * On float32 the two with a direction are computed in float64 where a batch is small: there is nearly nothing left of it. */

/* Whether all images of such an operation are bfloat16. */
INLINE bool normalizes_bfloat16(const kernels_operation *o) {
  bool has_two = is_bfloat16(o, 0) && is_bfloat16(o, 1);
  switch (o->code) {
    case KERNELS_NORMALIZATION: return has_two;
    case KERNELS_NORMALIZATION_BACKWARD: return has_two && is_bfloat16(o, 2);
    case KERNELS_NORMALIZATION_TANGENT: return is_bfloat16(o, 0) && (has_two || !o->operands[1]) && is_bfloat16(o, 2);
    default: return false;
  }
}

INLINE bool maps_in_float64(const kernels_operation *o) {
  bool is_small = o->rows < KERNELS_SUMMED_ROWS && !normalizes_bfloat16(o);
  return is_small && o->code != KERNELS_NORMALIZATION && o->operands[1];
}

/* Where the ReLU behind a normalisation is open: (x − mean) b + c > 0, computed as the normalisation does. The three numbers
 * of each column stand `stride` floats apart. */
typedef struct {
  const float *maps;
  int64_t stride;
} relu_gate;

/* x less the float32 mean is exact where they are near each other; what that mean leaves out is in c. */
INLINE void put_map(double mean, double b, double c, float *to_mean, float *to_b, float *to_c) {
  *to_mean = (float)mean;
  *to_b = (float)b;
  *to_c = (float)(c - b * (mean - *to_mean));
}

/* The gate of an operation that a derivative was joined to, made in `room`. */
static relu_gate prepare_gate(const kernels_operation *o, const kernels_run *run, float *room) {
  if (o->joined != KERNELS_JOINED_DERIVATIVE) return (relu_gate){0, 0};
  bool is_sums = o->code == KERNELS_NORMALIZATION_BACKWARD_SUMS;
  const double *moments = operand(o, run, is_sums ? 2 : 3);
  const float *weight = operand(o, run, is_sums ? 6 : 5), *bias = operand(o, run, 7);
  int64_t columns = o->columns, stride = padded(columns);
  for (int64_t i = 0; i < columns; i++) {
    put_map(
        moments[i], weight[i] * moments[columns + i], bias[i], room + i, room + stride + i, room + 2 * stride + i);
  }
  return (relu_gate){room, stride};
}

/* Four numbers a column: mean, a, b and c, in float64 or float32. */
static void prepare_column_maps(const kernels_operation *o, const kernels_run *run, float *scratch) {
  bool is_forward = o->code == KERNELS_NORMALIZATION, is_tangent = o->code == KERNELS_NORMALIZATION_TANGENT;
  const double *moments = operand(o, run, is_forward ? 4 : 3), *sums = is_forward ? 0 : operand(o, run, 4);
  const float *weight = operand(o, run, is_forward ? 2 : 5), *bias = operand(o, run, is_forward ? 3 : 7);
  const float *weight_tangent = operand(o, run, 6);
  bool has_direction = !is_forward && o->operands[1], is_double = maps_in_float64(o);
  int64_t columns = o->columns, stride = padded(columns);
  prepare_gate(o, run, scratch);
  scratch += gate_room(o);
  double *wide = (double *)scratch;
  for (int64_t i = 0; i < columns; i++) {
    double mean = moments[i], inverse = moments[columns + i], a = weight[i] * inverse;
    double b = is_forward ? a : is_tangent ? weight_tangent[i] * inverse : 0;
    double c = is_forward || is_tangent ? bias[i] : 0;
    if (has_direction) {
      b -= a * inverse * sums[columns + i];
      c -= a * sums[i];
    }
    if (is_double) {
      wide[i] = mean;
      wide[stride + i] = a;
      wide[2 * stride + i] = b;
      wide[3 * stride + i] = c;
    } else {
      put_map(mean, b, c, scratch + i, scratch + 2 * stride + i, scratch + 3 * stride + i);
      scratch[stride + i] = (float)a;
    }
  }
}

/* `width` vectors of columns, of which the last counts `tail` lanes. */
INLINE void map_panel(
    int width, int64_t tail, bool is_half, bool has_direction, bool is_gated, relu_gate gate, product_end end,
    int64_t rows, int64_t columns, const float *maps, int64_t stride, char *result, const char *d, const char *x) {
  int64_t size = is_half ? 2 : 4;
  vector mean[PANEL], a[PANEL], b[PANEL], c[PANEL], of_gate[3][PANEL];
  UNROLL for (int v = 0; v < width; v++) {
    mean[v] = load(maps + v * LANES);
    a[v] = load(maps + stride + v * LANES);
    b[v] = load(maps + 2 * stride + v * LANES);
    c[v] = load(maps + 3 * stride + v * LANES);
    for (int i = 0; i < 3 && is_gated; i++) of_gate[i][v] = load(gate.maps + i * gate.stride + v * LANES);
  }
  for (int64_t n = 0; n < rows; n++, result += columns * size, x += columns * size) {
    UNROLL for (int v = 0; v < width; v++) {
      int64_t at = v * LANES * size, lanes = v < width - 1 ? LANES : tail;
      vector from = load_as(is_half, x + at), y = (from - mean[v]) * b[v] + c[v];
      if (has_direction) {
        vector direction = load_as(is_half, d + at);
        if (is_gated) {
          direction = gated(direction, (from - of_gate[0][v]) * of_gate[1][v] + of_gate[2][v], false, false, 0);
        }
        y += a[v] * direction;
      }
      if (end.is_own_gate) y = gated(y, y, true, end.slope != 0, end.slope);
      store_as(is_half, result + at, y, lanes);
    }
    if (has_direction) d += columns * size;
  }
}

INLINE void map_in_float64(
    bool is_gated, relu_gate gate, int64_t rows, int64_t columns, const double *maps, int64_t stride, float *result,
    const float *d, const float *x) {
  const float *mean = gate.maps, *b = is_gated ? mean + gate.stride : 0, *c = is_gated ? b + gate.stride : 0;
  for (int64_t n = 0; n < rows; n++) {
    float *to = result + n * columns;
    const float *of = d + n * columns, *from = x + n * columns;
    // The result may stand where d stood.
#pragma clang loop vectorize(assume_safety)
    for (int64_t i = 0; i < columns; i++) {
      double direction = of[i];
      if (is_gated) direction = (from[i] - mean[i]) * b[i] + c[i] > 0 ? direction : 0;
      to[i] = (float)(maps[stride + i] * direction + maps[2 * stride + i] * (from[i] - maps[i]) + maps[3 * stride + i]);
    }
  }
}

/* `rows` rows of so many columns. */
static void map_rows(
    bool is_half, relu_gate gate, product_end end, int64_t rows, int64_t columns, const float *maps, int64_t stride,
    char *result, const char *d, const char *x) {
  int64_t size = is_half ? 2 : 4;
  for (int64_t n = 0; n < columns; n += PANEL * LANES) {
    int64_t width = panel_width(columns - n), tail = panel_tail(columns - n);
    char *to = result + n * size;
    const char *of = d ? d + n * size : 0, *from = x + n * size;
    relu_gate of_panel = {gate.maps ? gate.maps + n : 0, gate.stride};
#define CASE(vectors, half, directed, is_gated)                                                                      \
  case (vectors) * 8 + (half) * 4 + (directed) * 2 + (is_gated):                                                     \
    map_panel(                                                                                                       \
        vectors, tail, half, directed, is_gated, of_panel, directed ? plain_end : end, rows, columns, maps + n,      \
        stride, to, of, from);                                                                                       \
    break;
#define CASES(vectors)                                                                                               \
  CASE(vectors, 0, 0, 0)                                                                                             \
  CASE(vectors, 0, 1, 0)                                                                                             \
  CASE(vectors, 0, 1, 1)                                                                                             \
  CASE(vectors, 1, 0, 0)                                                                                             \
  CASE(vectors, 1, 1, 0)                                                                                             \
  CASE(vectors, 1, 1, 1)
    switch (width * 8 + is_half * 4 + (d != 0) * 2 + (gate.maps != 0)) { WIDTHS(CASES) }
#undef CASES
#undef CASE
  }
}

static void double_rows(
    relu_gate gate, int64_t rows, int64_t columns, const double *maps, int64_t stride, float *result, const float *d,
    const float *x) {
  // The compiler knows the columns of a block, and whether there is a gate.
  if (columns != KERNELS_BLOCK) {
    map_in_float64(false, gate, rows, columns, maps, stride, result, d, x);
  } else if (gate.maps) {
    map_in_float64(true, gate, rows, KERNELS_BLOCK, maps, stride, result, d, x);
  } else {
    map_in_float64(false, gate, rows, KERNELS_BLOCK, maps, stride, result, d, x);
  }
}

/* Operations of batch normalisation on rows whose images are all float32, or all bfloat16; channels last, or all in
 * blocks. */
static void normalization_rows(
    const kernels_operation *o, const kernels_run *run, const float *scratch, int64_t first, int64_t last) {
  bool is_half = is_bfloat16(o, 0), is_forward = o->code == KERNELS_NORMALIZATION, is_double = maps_in_float64(o);
  int64_t columns = o->columns, stride = padded(columns), size = is_half ? 2 : 4;
  const float *maps = scratch + gate_room(o);
  char *result = operand(o, run, 0);
  const char *d = is_forward ? 0 : operand(o, run, 1), *x = operand(o, run, is_forward ? 1 : 2);
  for (stretch r = first_stretch(o, first, last); r.rows > 0; r = next_stretch(o, r)) {
    char *to = result + r.start * size;
    const char *of = d ? d + r.start * size : 0, *from = x + r.start * size;
    relu_gate gate = {gate_room(o) > 0 ? scratch + r.column : 0, stride};
    if (is_double) {
      double_rows(
          gate, r.rows, r.columns, (const double *)maps + r.column, stride, (float *)to, (const float *)of,
          (const float *)from);
    } else {
      map_rows(is_half, gate, end_of(o, 0), r.rows, r.columns, maps + r.column, stride, to, of, from);
    }
  }
}
