/*
 * Trains a classifier of handwritten digits from 40 labelled and about 1,300 unlabelled images.
 *
 *   export PKG_CONFIG_PATH=$PWD/build/lib/pkgconfig
 *   cc -std=c11 examples/c/train.c $(pkg-config --cflags --libs didact) \
 *      -Wl,-rpath,$(pkg-config --variable=libdir didact) -o train && ./train
 *
 * Usage: train [STEPS [MODEL.safetensors]]
 */
#include <didact.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { LABELS = 40, PIXELS = 64, CLASSES = 10 };

static const char *configuration =
    "{\"method\": \"meta_pseudo_labels\","
    " \"network\": {\"type\": \"mlp\", \"inputs\": 64, \"hidden\": [128], \"classes\": 10},"
    " \"seed\": 0, \"input_scaling\": \"unit\", \"unlabeled_batch_size\": 256, \"steps\": 400}";

static void check(didact_status status, const char *what) {
  if (status == DIDACT_OK) return;
  fprintf(stderr, "%s: %s: %s\n", what, didact_status_name(status), didact_last_error_message());
  exit(1);
}

static int report(const didact_progress *progress, void *payload) {
  (void)payload;
  if (progress->step % 100 == 0 || progress->step == progress->steps)
    printf("step %4" PRId64 "  student %.4f  supervised %.4f  feedback %+.2e\n", progress->step,
           progress->student_loss, progress->supervised_loss, progress->feedback);
  return 0; /* anything else would stop the fit */
}

int main(int argc, char **argv) {
  long steps = argc > 1 ? strtol(argv[1], NULL, 10) : -1; /* -1: as configured */

  didact_array images, classes;
  check(didact_dataset_digits(&images, &classes), "digits");
  const int64_t rows = images.shape[0];
  const uint8_t *pixels = images.data;
  const int64_t *digits = classes.data;

  /* 0 labelled, 1 unlabelled, 2 test */
  int64_t *parts = malloc((size_t)rows * sizeof *parts);
  int64_t *labels = malloc((size_t)rows * sizeof *labels);
  int64_t *answers = malloc((size_t)rows * sizeof *answers);
  uint8_t *train_pixels = malloc((size_t)rows * PIXELS);
  uint8_t *test_pixels = malloc((size_t)rows * PIXELS);
  float *probabilities = malloc((size_t)rows * CLASSES * sizeof *probabilities);
  if (!parts || !labels || !answers || !train_pixels || !test_pixels || !probabilities) return 1;

  didact_array split = {parts, DIDACT_INT64, 1, &rows, NULL};
  check(didact_dataset_split(&split, &classes, LABELS, 0.25, 0), "split");

  int64_t train_rows = 0, test_rows = 0;
  for (int64_t row = 0; row < rows; row++) {
    uint8_t *to = parts[row] == 2 ? test_pixels + test_rows * PIXELS : train_pixels + train_rows * PIXELS;
    for (int p = 0; p < PIXELS; p++) to[p] = pixels[row * PIXELS + p];
    if (parts[row] == 2) answers[test_rows++] = digits[row];
    else labels[train_rows++] = parts[row] == 0 ? digits[row] : -1;
  }

  const int64_t train_shape[] = {train_rows, PIXELS}, test_shape[] = {test_rows, PIXELS};
  const int64_t probability_shape[] = {test_rows, CLASSES};
  didact_array x = {train_pixels, DIDACT_UINT8, 2, train_shape, NULL};
  didact_array y = {labels, DIDACT_INT64, 1, train_shape, NULL};
  didact_array x_test = {test_pixels, DIDACT_UINT8, 2, test_shape, NULL};
  didact_array p_test = {probabilities, DIDACT_FLOAT32, 2, probability_shape, NULL};

  didact_trainer *trainer = NULL;
  check(didact_trainer_create(&trainer, configuration), "create");
  check(didact_trainer_fit(trainer, &x, &y, NULL, steps, report, NULL), "fit");
  check(didact_trainer_predict(&p_test, trainer, &x_test), "predict");

  int64_t right = 0;
  for (int64_t row = 0; row < test_rows; row++) {
    const float *p = probabilities + row * CLASSES;
    int best = 0;
    for (int c = 1; c < CLASSES; c++)
      if (p[c] > p[best]) best = c;
    right += best == answers[row];
  }
  printf("didact %s: %d labels, %" PRId64 " rows without; accuracy on %" PRId64 " held-out images: %.1f %%\n",
         didact_version(), LABELS, train_rows - LABELS, test_rows, 100.0 * (double)right / (double)test_rows);
  if (argc > 2) check(didact_trainer_save(trainer, argv[2]), "save");

  didact_trainer_free(trainer);
  free(parts);
  free(labels);
  free(answers);
  free(train_pixels);
  free(test_pixels);
  free(probabilities);
  return 0;
}
