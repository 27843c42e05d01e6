/* Included by loops.h once for each instruction set. No include guard. */

static void activation(int function, float slope, int64_t count, float *restrict y, const float *x) {
  switch (function) {
    /* Written so that NaN stays NaN. */
    case KERNELS_RELU: for (int64_t i = 0; i < count; i++) y[i] = x[i] < 0 ? 0 : x[i]; break;
    case KERNELS_LEAKY_RELU: for (int64_t i = 0; i < count; i++) y[i] = x[i] > 0 ? x[i] : slope * x[i]; break;
    case KERNELS_SIGMOID: for (int64_t i = 0; i < count; i++) y[i] = sigmoid(x[i]); break;
    case KERNELS_TANH: for (int64_t i = 0; i < count; i++) y[i] = hyperbolic_tangent(x[i]); break;
    case KERNELS_SWISH: for (int64_t i = 0; i < count; i++) y[i] = x[i] * sigmoid(x[i]); break;
  }
}

static void activation_derivative(
    int function, float slope, int64_t count, float *restrict r, const float *d, const float *x, const float *y) {
  switch (function) {
    /* The output has the input's sign; the input is not kept where the activation is joined to a product. */
    case KERNELS_RELU: for (int64_t i = 0; i < count; i++) r[i] = y[i] > 0 ? d[i] : 0; break;
    case KERNELS_LEAKY_RELU: for (int64_t i = 0; i < count; i++) r[i] = y[i] > 0 ? d[i] : slope * d[i]; break;
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
