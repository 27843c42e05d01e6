/* Included by loops.h once for each instruction set. No include guard. */

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
    case KERNELS_SOFTMAX: softmax(first, last, columns, x0, x1, o->logits.temperature); break;
    case KERNELS_SOFTMAX_BACKWARD: softmax_backward(first, last, columns, x0, x1, x2, x3, o->logits.factor); break;
    case KERNELS_CROSS_ENTROPY:
      cross_entropy(
          first, last, columns, (double *)x0, x1, x2, x3, operand(o, run, 4), o->logits.temperature,
          o->logits.factor);
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
