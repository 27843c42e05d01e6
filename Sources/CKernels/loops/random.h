/* Included by loops.h once for each instruction set. No include guard. */

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
  double deviation = o->scalar, values[2 * DOUBLES];
  for (int64_t start = first & ~(int64_t)1; start < last; start += 2 * DOUBLES) {
    normal_values(o, run, start, values);
    for (int64_t i = start < first ? 1 : 0; i < 2 * DOUBLES && start + i < last; i++) {
      x[start + i] += (float)(deviation * values[i]);
    }
  }
}

/* Elements first..<last of the mask are values first..<last of the draw. */
static void dropout_mask(const kernels_operation *o, const kernels_run *run, int64_t first, int64_t last, float *mask) {
  double rate = o->scalar, values[2 * DOUBLES];
  float kept = (float)(1 / (1 - rate));
  for (int64_t start = first & ~(int64_t)1; start < last; start += 2 * DOUBLES) {
    uniform_values(o, run, start, values);
    for (int64_t i = start < first ? 1 : 0; i < 2 * DOUBLES && start + i < last; i++) {
      mask[start + i] = values[i] < rate ? 0 : kept;
    }
  }
}
