#include "CImages.h"

#include <math.h>
#include <stdlib.h>

/* The source pixels of each target pixel along one axis: `count` from `first` on, and their weights, of sum 1. */
typedef struct {
  int32_t first, count;
  const float *weights;
} window;

/* One block of memory, which the caller frees. */
static window *make_windows(int32_t length, int32_t target_length) {
  double scale = (double)length / target_length, reach = scale > 1 ? scale : 1;
  int32_t most = 2 * (int32_t)ceil(reach) + 1;
  window *windows = malloc((size_t)target_length * (sizeof *windows + (size_t)most * sizeof(float)));
  if (!windows) return 0;
  float *weights = (float *)(windows + target_length);
  for (int32_t i = 0; i < target_length; i++, weights += most) {
    double center = (i + 0.5) * scale, sum = 0;
    int32_t first = (int32_t)fmax(0, center - reach + 0.5), last = (int32_t)fmin(length, center + reach + 0.5);
    for (int32_t j = first; j < last; j++) {
      double weight = fmax(0, 1 - fabs(j + 0.5 - center) / reach);
      weights[j - first] = (float)weight;
      sum += weight;
    }
    for (int32_t j = 0; j < last - first; j++) weights[j] /= (float)sum;
    windows[i] = (window){first, last - first, weights};
  }
  return windows;
}

static uint8_t rounded(float value) { return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)(value + 0.5f); }

bool images_resize(
    const uint8_t *source, int32_t height, int32_t width, int32_t channels, uint8_t *target, int32_t target_height,
    int32_t target_width) {
  size_t length = (size_t)width * channels;
  window *columns = make_windows(width, target_width), *rows = make_windows(height, target_height);
  // Weighted sums of source rows, for one target row.
  float *line = malloc(length * sizeof *line);
  bool has_memory = columns && rows && line;
  for (int32_t y = 0; has_memory && y < target_height; y++) {
    for (size_t x = 0; x < length; x++) line[x] = 0;
    for (int32_t i = 0; i < rows[y].count; i++) {
      const uint8_t *row = source + (size_t)(rows[y].first + i) * length;
      for (size_t x = 0; x < length; x++) line[x] += rows[y].weights[i] * row[x];
    }
    for (int32_t x = 0; x < target_width; x++) {
      for (int32_t c = 0; c < channels; c++) {
        float sum = 0;
        for (int32_t i = 0; i < columns[x].count; i++)
          sum += columns[x].weights[i] * line[(size_t)(columns[x].first + i) * channels + c];
        *target++ = rounded(sum);
      }
    }
  }
  free(columns);
  free(rows);
  free(line);
  return has_memory;
}
