/* Included by loops.h once for each instruction set. No include guard. */

/* MARK: Images, channels last: pooling and gates. N rows are examples. */

typedef enum { POOL_AVERAGE, POOL_AVERAGE_BACKWARD, POOL_MAX, POOL_MAX_BACKWARD, POOL_MAX_TANGENT } pooling;

/* What one pixel of the input and one of the output, `index` in its window, have to do with each other. */
INLINE void pool_pixel(pooling kind, int64_t channels, float share, float index, float *out, float *in, float *places) {
  switch (kind) {
    case POOL_AVERAGE: for (int64_t c = 0; c < channels; c++) out[c] += share * in[c]; break;
    case POOL_AVERAGE_BACKWARD: for (int64_t c = 0; c < channels; c++) in[c] += share * out[c]; break;
    case POOL_MAX:
      for (int64_t c = 0; c < channels; c++) {
        /* The first of equal ones; NaN stays NaN. */
        bool is_new = places[c] < 0 || in[c] > out[c] || (in[c] != in[c] && out[c] == out[c]);
        out[c] = is_new ? in[c] : out[c];
        places[c] = is_new ? index : places[c];
      }
      break;
    case POOL_MAX_BACKWARD: for (int64_t c = 0; c < channels; c++) in[c] += places[c] == index ? out[c] : 0; break;
    case POOL_MAX_TANGENT:
      for (int64_t c = 0; c < channels; c++) out[c] = places[c] == index ? in[c] : out[c];
      break;
  }
}

/* `rows` examples from `first` on. */
static void pool(
    pooling kind, const kernels_operation *o, int64_t first, int64_t rows, float *output, float *input, float *places) {
  const kernels_images w = o->images;
  int64_t c = o->columns, in_count = w.height * w.width * c, out_count = w.output_height * w.output_width * c;
  float share = 1 / (float)(w.window_height * w.window_width);
  for (int64_t n = first; n < first + rows; n++) {
    float *out = output + n * out_count, *in = input + n * in_count, *at = places ? places + n * out_count : 0;
    if (kind == POOL_AVERAGE) memset(out, 0, (size_t)out_count * 4);
    if (kind == POOL_AVERAGE_BACKWARD || kind == POOL_MAX_BACKWARD) memset(in, 0, (size_t)in_count * 4);
    if (kind == POOL_MAX) for (int64_t i = 0; i < out_count; i++) at[i] = -1;
    for (int64_t y = 0; y < w.output_height; y++) {
      for (int64_t x = 0; x < w.output_width; x++) {
        int64_t to = (y * w.output_width + x) * c;
        for (int64_t ky = 0; ky < w.window_height; ky++) {
          int64_t row = y * w.stride + ky - w.padding;
          if (row < 0 || row >= w.height) continue;
          for (int64_t kx = 0; kx < w.window_width; kx++) {
            int64_t column = x * w.stride + kx - w.padding;
            if (column < 0 || column >= w.width) continue;
            pool_pixel(kind, c, share, (float)(ky * w.window_width + kx), out + to, in + (row * w.width + column) * c,
                       at ? at + to : 0);
          }
        }
      }
    }
  }
}

/* result (+)= x ⊙ gate, the same at every pixel */
static void scale_channels(
    int64_t rows, int64_t pixels, int64_t channels, bool accumulate, float *restrict result, const float *x,
    const float *gate) {
  for (int64_t n = 0; n < rows; n++, gate += channels) {
    for (int64_t pixel = 0; pixel < pixels; pixel++, result += channels, x += channels) {
      if (accumulate) {
        for (int64_t c = 0; c < channels; c++) result[c] += x[c] * gate[c];
      } else {
        for (int64_t c = 0; c < channels; c++) result[c] = x[c] * gate[c];
      }
    }
  }
}

/* gate = Σ_pixels a ⊙ b */
static void sum_pixels(
    int64_t rows, int64_t pixels, int64_t channels, float *restrict gate, const float *a, const float *b) {
  for (int64_t n = 0; n < rows; n++, gate += channels) {
    memset(gate, 0, (size_t)channels * 4);
    for (int64_t pixel = 0; pixel < pixels; pixel++, a += channels, b += channels) {
      for (int64_t c = 0; c < channels; c++) gate[c] += a[c] * b[c];
    }
  }
}
