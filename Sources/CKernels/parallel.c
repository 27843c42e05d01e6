/* Threads, by platform: on Linux those of libgomp, which oneDNN and PyTorch use too, so that one pool serves all; on Apple
 * systems those of Grand Central Dispatch. */
#define _GNU_SOURCE
#include "internal.h"

#if defined(__linux__)
#include <sched.h>
#endif
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
/* The sanitizer does not know libgomp's locks. What it can check are the engine's own. */
#define KERNELS_SERIAL
#endif
#endif

typedef struct {
  void (*work)(void *, int);
  void *argument;
  int threads;
} team;

#if defined(KERNELS_SERIAL)

void kernels_parallel(int threads, void (*work)(void *, int), void *argument) {
  for (int thread = 0; thread < threads; thread++) work(argument, thread);
}

int kernels_team(int threads) { return threads; }

void kernels_with_library_threads(int threads, void (*body)(void *), void *argument) {
  (void)threads;
  body(argument);
}

#elif defined(__linux__)

/* libgomp's entry points, as gcc calls them for `#pragma omp parallel` (its ABI since GCC 4.9). */
extern void GOMP_parallel(void (*function)(void *), void *data, unsigned threads, unsigned flags);
extern int omp_get_thread_num(void);
extern int omp_get_num_threads(void);
extern int omp_get_max_threads(void);
extern void omp_set_num_threads(int threads);
extern int omp_get_dynamic(void);
extern void omp_set_dynamic(int is_dynamic);

/* The team may be smaller than asked for, such as within a parallel region of the caller. */
static void work_of_member(void *data) {
  const team *t = data;
  for (int thread = omp_get_thread_num(); thread < t->threads; thread += omp_get_num_threads()) {
    t->work(t->argument, thread);
  }
}

void kernels_parallel(int threads, void (*work)(void *, int), void *argument) {
  if (threads <= 1) return work(argument, 0);
  team t = {work, argument, threads};
  GOMP_parallel(work_of_member, &t, (unsigned)threads, 0);
}

static void count_team(void *data) {
  if (omp_get_thread_num() == 0) *(int *)data = omp_get_num_threads();
}

int kernels_team(int threads) {
  int team = 1;
  if (threads > 1) GOMP_parallel(count_team, &team, (unsigned)threads, 0);
  return team;
}

void kernels_with_library_threads(int threads, void (*body)(void *), void *argument) {
  int before = omp_get_max_threads(), is_dynamic = omp_get_dynamic();
  omp_set_num_threads(threads);
  omp_set_dynamic(0);
  body(argument);
  omp_set_dynamic(is_dynamic);
  omp_set_num_threads(before);
}

#else

#include <dispatch/dispatch.h>

static void work_of_member(void *data, size_t thread) {
  const team *t = data;
  t->work(t->argument, (int)thread);
}

void kernels_parallel(int threads, void (*work)(void *, int), void *argument) {
  if (threads <= 1) return work(argument, 0);
  team t = {work, argument, threads};
  dispatch_apply_f((size_t)threads, DISPATCH_APPLY_AUTO, &t, work_of_member);
}

int kernels_team(int threads) { return threads; }

void kernels_with_library_threads(int threads, void (*body)(void *), void *argument) {
  (void)threads;
  body(argument);
}

#endif

int32_t kernels_available_cores(void) {
#if defined(__linux__)
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
#endif
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count > 0 ? (int32_t)count : 1;
}
