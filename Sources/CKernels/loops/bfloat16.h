/* Included by loops.h once for each instruction set. No include guard. */

typedef uint32_t word_vector __attribute__((vector_size(LANES * 4)));
typedef uint16_t half_vector __attribute__((vector_size(LANES * 2), aligned(2)));

/* The nearest bfloat16, ties to the even one, as the upper half of a float32. NaN stays NaN. */
INLINE uint32_t nearest_bfloat16(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000;
  return x == x ? rounded : bits | 0x400000;
}

static void NAME(to_bfloat16)(int64_t count, const float *restrict x, uint16_t *restrict y) {
  for (int64_t i = 0; i < count; i++) y[i] = (uint16_t)(nearest_bfloat16(x[i]) >> 16);
}

static void NAME(round_to_bfloat16)(int64_t count, const float *restrict x, float *restrict y) {
  for (int64_t i = 0; i < count; i++) {
    uint32_t bits = nearest_bfloat16(x[i]) & 0xffff0000;
    __builtin_memcpy(&y[i], &bits, sizeof bits);
  }
}

static void NAME(widen)(int64_t count, const uint16_t *restrict x, float *restrict y) {
  for (int64_t i = 0; i < count; i++) {
    uint32_t bits = (uint32_t)x[i] << 16;
    __builtin_memcpy(&y[i], &bits, sizeof bits);
  }
}

/* Rows of an operand as float32: where they lie, or widened into `room`. */
INLINE const float *widened(
    const kernels_operation *o, const kernels_run *run, int index, int64_t first, int64_t rows, float *room) {
  int64_t length = row_length(o, index);
  const void *x = operand(o, run, index);
  if (!is_bfloat16(o, index)) return x ? (const float *)x + first * length : 0;
  NAME(widen)(rows * length, (const uint16_t *)x + first * length, room);
  return room;
}

/* A vector of float32 or bfloat16 elements; and so many of its lanes. */
INLINE vector load_as(bool is_half, const void *x) {
  if (!is_half) return load(x);
  half_vector half = *(const half_vector *)x;
  return (vector)(__builtin_convertvector(half, word_vector) << 16);
}

INLINE void store_as(bool is_half, void *x, vector v, int64_t lanes) {
  if (!is_half) {
    if (lanes == LANES) store(x, v); else store_first(x, v, lanes);
    return;
  }
  word_vector bits = (word_vector)v, rounded = bits + 0x7fff + ((bits >> 16) & 1);
  word_vector is_number = (word_vector)(v == v);
  word_vector nearest = (rounded & is_number) | ((bits | 0x400000) & ~is_number);
  half_vector half = __builtin_convertvector(nearest >> 16, half_vector);
  if (lanes == LANES) {
    *(half_vector *)x = half;
  } else {
    for (int64_t i = 0; i < lanes; i++) ((uint16_t *)x)[i] = half[i];
  }
}
