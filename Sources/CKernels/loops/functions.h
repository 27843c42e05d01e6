/* Included by loops.h once for each instruction set. No include guard. */

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

/* y = log(max(x, least)); NaN stays NaN. */
static void logarithms(int64_t count, float *restrict y, const float *x, double least) {
  for (int64_t i = 0; i < count; i += DOUBLES) {
    double_vector v;
    for (int lane = 0; lane < DOUBLES; lane++) v[lane] = x[i + lane] < least ? least : x[i + lane];
    v = logarithm_of_doubles(v);
    for (int lane = 0; lane < DOUBLES && i + lane < count; lane++) y[i + lane] = (float)v[lane];
  }
}
