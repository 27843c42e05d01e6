/*
 * Several threads in the C interface at once: trainings of their own, and one trainer that all of them train, read, copy
 * and predict with. scripts/test runs it as it is, scripts/nightly with the address and the thread sanitizer.
 *
 * Usage: threads ROUNDS
 */
#define _POSIX_C_SOURCE 200809L
#include <didact.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 60, COLUMNS = 3, CLASSES = 2, THREADS = 6 };

static const char *configuration =
    "{\"method\": \"meta_pseudo_labels\", \"network\": {\"type\": \"mlp\", \"inputs\": 3, \"hidden\": [20], \"classes\": 2,"
    " \"batch_norm\": true, \"dropout\": 0.1}, \"average_decay\": 0.9, \"labeled_batch_size\": 8,"
    " \"unlabeled_batch_size\": 40, \"validation_fraction\": 0.3, \"patience\": null, \"threads\": 2,"
    " \"members\": [{\"method\": \"supervised\"}], \"steps\": 12}";

static double rows[ROWS * COLUMNS], alone[ROWS * CLASSES];
static int64_t labels[ROWS];
static const int64_t shape[] = {ROWS, COLUMNS}, answer_shape[] = {ROWS, CLASSES};
static const didact_array x = {rows, DIDACT_FLOAT64, 2, shape, NULL}, y = {labels, DIDACT_INT64, 1, shape, NULL};
static didact_trainer *shared;
static int rounds;

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, didact_last_error_message());
  exit(1);
}

static void check(didact_status status, const char *what) {
  if (status != DIDACT_OK) fail(what);
}

static void train_and_predict(double *probabilities) {
  didact_trainer *trainer;
  check(didact_trainer_create(&trainer, configuration), "create");
  check(didact_trainer_fit(trainer, &x, &y, NULL, -1, NULL, NULL), "fit");
  didact_array answers = {probabilities, DIDACT_FLOAT64, 2, answer_shape, NULL};
  check(didact_trainer_predict(&answers, trainer, &x), "predict");
  didact_trainer_free(trainer);
}

/* Learns alone what it learns beside the others. */
static void train_own(void) {
  double probabilities[ROWS * CLASSES];
  train_and_predict(probabilities);
  if (memcmp(probabilities, alone, sizeof alone) != 0) fail("another result beside other threads");
}

static int go_on(const didact_progress *progress, void *payload) {
  (void)progress, (void)payload;
  return 0;
}

static void train_shared(void) {
  didact_status status = didact_trainer_fit(shared, &x, &y, NULL, 3, go_on, NULL);
  if (status != DIDACT_EBUSY) check(status, "fit of the shared trainer");
  if (didact_trainer_update_average(shared) != DIDACT_EUNSUPPORTED) fail("an average moved without the members'");
}

static void predict_shared(void) {
  double probabilities[ROWS * CLASSES];
  didact_array answers = {probabilities, DIDACT_FLOAT64, 2, answer_shape, NULL};
  check(didact_trainer_predict(&answers, shared, &x), "prediction of the shared trainer");
  for (int row = 0; row < ROWS; row++) {
    double sum = probabilities[2 * row] + probabilities[2 * row + 1];
    if (sum < 0.999999 || sum > 1.000001) fail("no probabilities");
  }
}

static void read_shared(void) {
  char text[4096];
  int64_t number;
  const char *name;
  double value;
  check(didact_trainer_roles(text, sizeof text, &number, shared), "roles");
  check(didact_trainer_configuration(text, sizeof text, &number, shared), "configuration");
  check(didact_trainer_names(text, sizeof text, &number, shared, "class"), "names");
  check(didact_trainer_warnings(text, sizeof text, &number, shared), "warnings");
  check(didact_trainer_steps(&number, shared), "steps");
  check(didact_trainer_predictor_role(&name, shared), "role");
  /* Nothing may have been reported yet. */
  (void)didact_trainer_metric(&value, shared, "loss/student");
  if (didact_trainer_metric(&value, shared, "nothing") != DIDACT_EINVALID) fail("an unknown metric");
  if (!strstr(didact_last_error_message(), "nothing")) fail("a message of another thread");
}

static void copy_shared(void) {
  didact_trainer *copy, *member, *read;
  int64_t length;
  check(didact_trainer_copy(&copy, shared), "copy");
  check(didact_trainer_member(&member, copy, 0), "member");
  didact_trainer_free(member);
  check(didact_trainer_set_names(shared, "class", "[\"no\", \"yes\"]"), "set_names");
  check(didact_trainer_to_bytes(NULL, 0, &length, copy), "size of bytes");
  void *bytes = malloc((size_t)length);
  if (!bytes) fail("malloc");
  check(didact_trainer_to_bytes(bytes, length, &length, copy), "bytes");
  check(didact_trainer_from_bytes(&read, bytes, length), "from_bytes");
  free(bytes);
  didact_trainer_free(copy);
  didact_trainer_free(read);
}

static void use_networks(void) {
  didact_network *student, *copy;
  didact_pass *pass;
  double probabilities[ROWS * CLASSES];
  didact_array answers = {probabilities, DIDACT_FLOAT64, 2, answer_shape, NULL};
  check(didact_trainer_student(&student, shared), "student");
  check(didact_network_copy(&copy, student), "copy of the student");
  didact_network_free(student);
  check(didact_network_record(&pass, copy, &x, 1, -1), "record");
  check(didact_pass_logits(&answers, pass), "logits");
  check(didact_pass_backward(NULL, pass, &answers, 0), "backward");
  didact_pass_free(pass);
  didact_network_free(copy);
}

static void (*const work[THREADS])(void) = {train_own, train_shared, predict_shared, read_shared, copy_shared, use_networks};

static void *run(void *argument) {
  for (int round = 0; round < rounds; round++) work[(intptr_t)argument]();
  return NULL;
}

int main(int argc, char **argv) {
  rounds = argc > 1 ? atoi(argv[1]) : 20;
  for (int row = 0; row < ROWS; row++) {
    labels[row] = row < 20 ? row % CLASSES : -1;
    for (int column = 0; column < COLUMNS; column++)
      rows[row * COLUMNS + column] = (row * 37 + column * 11) % 17 / 17.0 + (column == row % CLASSES);
  }
  train_and_predict(alone);
  check(didact_trainer_create(&shared, configuration), "create");
  check(didact_trainer_fit(shared, &x, &y, NULL, 1, NULL, NULL), "first fit");
  pthread_t threads[THREADS];
  for (intptr_t i = 0; i < THREADS; i++)
    if (pthread_create(&threads[i], NULL, run, (void *)i) != 0) fail("pthread_create");
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  didact_trainer_free(shared);
  int64_t alive;
  check(didact_live_handles(&alive), "live handles");
  if (alive != 0) fail("handles are left");
  printf("%d rounds in %d threads\n", rounds, THREADS);
  return 0;
}
