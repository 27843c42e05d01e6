/* Included by loops.h once for each instruction set. No include guard. */

/* MARK: Pixels of uint8, channels last, for augmentation. What they compute is said in Didact/Augmentation/Pixels. */

/* a + factor * (b - a), cut off below and clipped, in single precision without fused operations, as Pillow has it. */
#define BLEND(a, b, factor, result)                                              \
  do {                                                                           \
    float value_ = (float)(a) + (factor) * (float)((int32_t)(b) - (int32_t)(a)); \
    value_ = value_ < 0 ? 0 : value_ > 255 ? 255 : value_;                       \
    (result) = (uint8_t)(int32_t)value_;                                         \
  } while (0)

static void NAME(blend_pixels)(int64_t count, uint8_t *restrict a, const uint8_t *restrict b, float factor) {
#pragma clang fp contract(off)
  for (int64_t i = 0; i < count; i++) BLEND(a[i], b[i], factor, a[i]);
}

/* In integers, with 16 bits behind the point: the luma of ITU-R BT.601. */
INLINE uint8_t luma(const uint8_t *pixel) {
  return (uint8_t)((19595u * pixel[0] + 38470u * pixel[1] + 7471u * pixel[2] + 0x8000u) >> 16);
}

static void NAME(color_pixels)(int64_t pixels, uint8_t *restrict x, float factor) {
#pragma clang fp contract(off)
  for (int64_t i = 0; i < pixels; i++) {
    uint8_t gray = luma(&x[3 * i]);
    BLEND(gray, x[3 * i], factor, x[3 * i]);
    BLEND(gray, x[3 * i + 1], factor, x[3 * i + 1]);
    BLEND(gray, x[3 * i + 2], factor, x[3 * i + 2]);
  }
}

static int64_t NAME(luma_sum)(int64_t pixels, const uint8_t *x) {
  uint32_t sum = 0;
  int64_t total = 0;
  for (int64_t start = 0; start < pixels; start += 1 << 20) {
    int64_t end = start + (1 << 20) < pixels ? start + (1 << 20) : pixels;
    sum = 0;
    for (int64_t i = start; i < end; i++) sum += luma(&x[3 * i]);
    total += sum;
  }
  return total;
}

/* The smallest and the largest value of each of three channels. */
static void NAME(pixel_extremes)(int64_t count, const uint8_t *x, uint8_t *low, uint8_t *high) {
  enum { BLOCK = 192 };
  uint8_t lows[BLOCK], highs[BLOCK];
  memset(lows, 255, BLOCK);
  memset(highs, 0, BLOCK);
  int64_t i = 0;
  for (; i + BLOCK <= count; i += BLOCK) {
    for (int j = 0; j < BLOCK; j++) {
      lows[j] = x[i + j] < lows[j] ? x[i + j] : lows[j];
      highs[j] = x[i + j] > highs[j] ? x[i + j] : highs[j];
    }
  }
  for (int j = 0; i + j < count; j++) {
    lows[j] = x[i + j] < lows[j] ? x[i + j] : lows[j];
    highs[j] = x[i + j] > highs[j] ? x[i + j] : highs[j];
  }
  for (int c = 0; c < 3; c++) {
    low[c] = 255;
    high[c] = 0;
  }
  for (int j = 0; j < BLOCK; j++) {
    low[j % 3] = lows[j] < low[j % 3] ? lows[j] : low[j % 3];
    high[j % 3] = highs[j] > high[j % 3] ? highs[j] : high[j % 3];
  }
}

/* (5 x + the eight values around it) / 13, rounded, of a part of a row. The values beside it are `step` away. */
static void NAME(smooth_pixels)(
    int64_t count, int64_t step, int64_t row, const uint8_t *restrict x, uint8_t *restrict result) {
  for (int64_t i = 0; i < count; i++) {
    const uint8_t *above = x + i - row, *here = x + i, *below = x + i + row;
    uint16_t sum = (uint16_t)(above[-step] + above[0] + above[step] + here[-step] + here[step] + below[-step] +
                              below[0] + below[step] + 5 * here[0] + 6);
    /* 5042 / 2^16 is 1/13 and less than 1/13 too much for 13 * 255 + 6. */
    result[i] = (uint8_t)(((uint32_t)sum * 5042u) >> 16);
  }
}

#undef BLEND
