/* Included by loops.h once for each instruction set. No include guard. */

static void sgd(const kernels_operation *o, int64_t count, float *restrict p, const float *restrict g, float *restrict m) {
  float scale = (float)o->sgd.gradient_scale, factor = (float)o->sgd.momentum_factor;
  float rate = (float)o->sgd.learning_rate, decay = (float)o->sgd.weight_decay;
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

#define ADAMW_SCALARS(o)                                                                              \
  float scale = (float)o->adamw.gradient_scale, rate = (float)o->adamw.learning_rate;                 \
  float beta1 = (float)o->adamw.beta1, beta2 = (float)o->adamw.beta2;                                 \
  float epsilon = (float)o->adamw.epsilon, first = (float)o->adamw.first_correction;                  \
  float second = (float)o->adamw.second_correction;                                                   \
  float fresh1 = (float)(1 - o->adamw.beta1), fresh2 = (float)(1 - o->adamw.beta2);

static void adamw(
    const kernels_operation *o, int64_t count, float *restrict p, const float *restrict g, float *restrict m,
    float *restrict v) {
  ADAMW_SCALARS(o)
  float kept = (float)(1 - o->adamw.learning_rate * o->adamw.weight_decay);
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
