/*
 * Trains and predicts, and prints as one line of JSON what that allocates. Run it with count_allocations.so preloaded:
 *
 *   cc -std=c11 -Iinclude Tests/Allocations/steps.c build/lib/libdidact.so -ldl -o steps
 *   LD_LIBRARY_PATH=build/lib LD_PRELOAD=./count_allocations.so ./steps counts CONFIGURATION 64 448 800 200
 *
 * steps counts CONFIGURATION LABELED UNLABELED WARM_UP STEPS: allocations of so many steps and predictions by library.
 * A warm-up of 800 and 200 steps keep clear of the steps at which the history of metrics doubles its room: about the
 * 600th and 1,200th with 12 metrics, the 690th and 1,370th with 3.
 * steps memory CONFIGURATION LABELED UNLABELED FIRST LAST SIZES: memory after the first and after the last
 * step; the number of unlabelled rows changes every step and goes through so many sizes.
 *
 * The networks have 2 inputs and 2 classes. UNLABELED is 0 for methods without such rows.
 */
#define _GNU_SOURCE
#include <didact.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUTS = 2, CLASSES = 2, SIZE_STEP = 8 };

static void (*start)(void);
static void (*stop)(void);
static long (*count_of)(const char *);

static didact_trainer *trainer;
static didact_network *student;
static float *rows;
static float *strong_rows;
static float *probabilities;
static int64_t *classes;
static int64_t labeled, unlabeled;

static void check(didact_status status, const char *what) {
  if (status == DIDACT_OK) return;
  fprintf(stderr, "%s: %s: %s\n", what, didact_status_name(status), didact_last_error_message());
  exit(1);
}

static void *find(const char *name) {
  void *found = dlsym(RTLD_DEFAULT, name);
  if (found) return found;
  fprintf(stderr, "%s is missing: set LD_PRELOAD to count_allocations.so\n", name);
  exit(1);
}

/* In KiB. */
static long resident(void) {
  // What is free goes back first: how much of that the heap keeps differs by some MiB from run to run.
  malloc_trim(0);
  char line[256];
  long kib = -1;
  FILE *status = fopen("/proc/self/status", "r");
  while (status && fgets(line, sizeof line, status))
    if (strncmp(line, "VmRSS:", 6) == 0) kib = strtol(line + 6, NULL, 10);
  if (status) fclose(status);
  return kib;
}

/* What is allocated and not freed, in KiB: unlike resident memory it does not depend on how the heap is laid out. */
static long in_use(void) {
  struct mallinfo2 heap = mallinfo2();
  return (long)((heap.uordblks + heap.hblkhd) / 1024);
}

/* A step with the first `count` unlabelled rows. */
static void step(int64_t count) {
  const int64_t x_shape[] = {labeled, INPUTS}, u_shape[] = {count, INPUTS};
  didact_array x = {rows, DIDACT_FLOAT32, 2, x_shape, NULL};
  didact_array y = {classes, DIDACT_INT64, 1, x_shape, NULL};
  didact_array u = {rows + labeled * INPUTS, DIDACT_FLOAT32, 2, u_shape, NULL};
  didact_array u_strong = {strong_rows + labeled * INPUTS, DIDACT_FLOAT32, 2, u_shape, NULL};
  if (count > 0) check(didact_trainer_step(trainer, &x, &y, &u, &u_strong), "step");
  else check(didact_trainer_step(trainer, &x, &y, NULL, NULL), "step");
}

static void train(void) { step(unlabeled); }

static void predict_with_trainer(void) {
  const int64_t x_shape[] = {labeled, INPUTS}, p_shape[] = {labeled, CLASSES};
  didact_array x = {rows, DIDACT_FLOAT32, 2, x_shape, NULL};
  didact_array p = {probabilities, DIDACT_FLOAT32, 2, p_shape, NULL};
  check(didact_trainer_predict(&p, trainer, &x), "predict");
}

static void predict_with_network(void) {
  const int64_t x_shape[] = {labeled, INPUTS}, p_shape[] = {labeled, CLASSES};
  didact_array x = {rows, DIDACT_FLOAT32, 2, x_shape, NULL};
  didact_array p = {probabilities, DIDACT_FLOAT32, 2, p_shape, NULL};
  check(didact_network_predict(&p, student, &x), "predict");
}

static void begin(const char *what) {
  if (getenv("COUNT_ALLOCATIONS_TRACE")) fprintf(stderr, "== %s\n", what);
  start();
}

static void end(const char *what) {
  stop();
  printf("\"%s\": {\"libdidact\": %ld, \"libdnnl\": %ld, \"libgomp\": %ld, \"other\": %ld}, ", what,
         count_of("libdidact"), count_of("libdnnl"), count_of("libgomp"), count_of("other"));
}

static void count(const char *what, void (*body)(void), long warm_up, long times) {
  for (long i = 0; i < warm_up; i++) body();
  begin(what);
  for (long i = 0; i < times; i++) body();
  end(what);
}

/* Two half circles, with noise in the strong view. */
static void make_rows(void) {
  const int64_t half = (labeled + unlabeled + 1) / 2, shape[] = {2 * half, INPUTS};
  double *points = malloc((size_t)(2 * half * INPUTS) * sizeof *points);
  int64_t *sides = malloc((size_t)(2 * half) * sizeof *sides);
  rows = malloc((size_t)(2 * half * INPUTS) * sizeof *rows);
  strong_rows = malloc((size_t)(2 * half * INPUTS) * sizeof *strong_rows);
  classes = malloc((size_t)(2 * half) * sizeof *classes);
  probabilities = malloc((size_t)(2 * half * CLASSES) * sizeof *probabilities);
  if (!points || !sides || !rows || !strong_rows || !classes || !probabilities) exit(1);
  didact_array x = {points, DIDACT_FLOAT64, 2, shape, NULL}, y = {sides, DIDACT_INT64, 1, shape, NULL};
  for (int view = 0; view < 2; view++) {
    check(didact_dataset_two_moons(&x, &y, view ? 0.2 : 0.1, (uint64_t)view), "two moons");
    /* The moons come one after the other; take turns, so that the labelled rows have both classes. */
    for (int64_t i = 0; i < 2 * half; i++) {
      const int64_t from = i / 2 + (i % 2) * half;
      for (int j = 0; j < INPUTS; j++) (view ? strong_rows : rows)[i * INPUTS + j] = (float)points[from * INPUTS + j];
      classes[i] = sides[from];
    }
  }
  free(points);
  free(sides);
}

int main(int argc, char **argv) {
  if (argc < 7) {
    fprintf(stderr, "usage: steps counts CONFIGURATION LABELED UNLABELED WARM_UP STEPS\n"
                    "       steps memory CONFIGURATION LABELED UNLABELED FIRST LAST SIZES\n");
    return 2;
  }
  *(void **)&start = find("count_allocations_start");
  *(void **)&stop = find("count_allocations_stop");
  *(void **)&count_of = find("count_allocations_of");
  labeled = strtol(argv[3], NULL, 10);
  unlabeled = strtol(argv[4], NULL, 10);
  const long first = strtol(argv[5], NULL, 10), second = strtol(argv[6], NULL, 10);
  const long sizes = argc > 7 ? strtol(argv[7], NULL, 10) : 1;
  if (labeled < 1 || first < 1 || second < 1 || sizes < 1 || (sizes > 1 && unlabeled <= SIZE_STEP * (sizes - 1))) {
    fprintf(stderr, "a number is out of range\n");
    return 2;
  }
  make_rows();

  long resident_before, resident_after, in_use_before, in_use_after;
  printf("{");
  /* Making a trainer has to allocate: a count of 0 would mean that the counter does not work. */
  begin("create");
  check(didact_trainer_create(&trainer, argv[2]), "create");
  end("create");
  check(didact_trainer_student(&student, trainer), "student");
  if (strcmp(argv[1], "counts") == 0) {
    count("step", train, first, second);
    resident_before = resident(), in_use_before = in_use();
    count("trainer_predict", predict_with_trainer, 20, second);
    count("network_predict", predict_with_network, 20, second);
    resident_after = resident(), in_use_after = in_use();
  } else {
    for (long i = 0; i < first; i++) step(unlabeled - SIZE_STEP * (i % sizes));
    resident_before = resident(), in_use_before = in_use();
    for (long i = first; i < second; i++) step(unlabeled - SIZE_STEP * (i % sizes));
    resident_after = resident(), in_use_after = in_use();
  }
  int64_t columns = 0;
  check(didact_trainer_history_columns(&columns, trainer), "history");
  printf("\"resident_kib\": [%ld, %ld], \"in_use_kib\": [%ld, %ld], \"history_bytes_a_step\": %" PRId64 "}\n",
         resident_before, resident_after, in_use_before, in_use_after, columns * (int64_t)sizeof(double));

  didact_network_free(student);
  didact_trainer_free(trainer);
  free(rows);
  free(strong_rows);
  free(classes);
  free(probabilities);
  return 0;
}
