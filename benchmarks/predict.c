/* Times the prediction of one row from C: predict (network | predictor) SECONDS
 *
 * Prints the probabilities, and then, for each thousand calls, the nanoseconds of one. The first fifth of the time is
 * left out. Built and run by perceptron.py. */
#define _POSIX_C_SOURCE 200809L

#include <didact.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void check(didact_status status) {
  if (status != DIDACT_OK) {
    fprintf(stderr, "%s\n", didact_last_error_message());
    exit(1);
  }
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int main(int count, char **arguments) {
  if (count != 3) {
    fprintf(stderr, "usage: predict (network | predictor) SECONDS\n");
    return 2;
  }
  const int bound = strcmp(arguments[1], "predictor") == 0;
  const double seconds = atof(arguments[2]);

  didact_network *network = NULL;
  check(didact_network_create(
      &network, "{\"type\": \"mlp\", \"inputs\": 2, \"hidden\": [64, 64], \"classes\": 2, \"seed\": 0}"));
  float row[2] = {0.3f, -0.7f}, result[2] = {0, 0};
  const int64_t shape[2] = {1, 2};
  const didact_array x = {.data = row, .dtype = DIDACT_FLOAT32, .ndim = 2, .shape = shape};
  didact_array probabilities = {.data = result, .dtype = DIDACT_FLOAT32, .ndim = 2, .shape = shape};

  didact_predictor *predictor = NULL;
  if (bound) check(didact_predictor_create(&predictor, network, &x, &probabilities));

  const double start = now();
  int first = 1;
  do {
    const int calls = first ? 1 : 1000;
    const double begin = now();
    if (bound) {
      for (int call = 0; call < calls; call += 1) check(didact_predictor_run(predictor));
    } else {
      for (int call = 0; call < calls; call += 1) check(didact_network_predict(&probabilities, network, &x));
    }
    const double end = now();
    if (first) {
      printf("%.9g %.9g\n", result[0], result[1]);
    } else if (begin > start + seconds / 5) {
      printf("%.2f\n", 1e9 * (end - begin) / calls);
    }
    first = 0;
  } while (now() < start + seconds);

  didact_predictor_free(predictor);
  didact_network_free(network);
  return 0;
}
