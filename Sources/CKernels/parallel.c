/* Threads. A region is divided into as many parts as it may use threads; which part computes what does not depend on who
 * runs it. Workers, one pool for the process, take parts if they are awake and free; the caller runs all that nobody has
 * begun. So a region never waits for a thread that is not running, and of several trainings on a busy machine each goes
 * on by itself. */
#define _GNU_SOURCE
#include "internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

typedef struct {
  void (*work)(void *, int);
  void *argument;
  int parts;
  _Atomic uint64_t taken[KERNELS_MOST_THREADS / 64];
} region;

/* What a worker does, in the two lowest bits of its state. The others count the regions it was asked to, so that a caller
 * sees when its own is over. */
enum { IDLE, RESERVED, ASKED, RUNNING, PHASES };

typedef struct {
  _Alignas(128) _Atomic uint32_t state;
  region *region;
  int first_part;
  /* Whether it sleeps, and how many callers sleep until it is done. Both wait on `changed`. */
  _Atomic int is_asleep, waiting;
  pthread_mutex_t lock;
  pthread_cond_t changed;
} worker;

static worker workers[KERNELS_MOST_THREADS - 1];
static _Atomic int worker_count;
static pthread_mutex_t hiring = PTHREAD_MUTEX_INITIALIZER;
/* Threads of callers that are computing. */
static _Atomic int caller_count;

/* Longer than what lies between two regions of a training step, and shorter than what another program would miss. */
static const int64_t worker_patience = 60000, caller_patience = 20000;
/* Where a caller waits longer for workers than it works itself, others use the cores. What it lost so in nanoseconds,
 * less an eighth of its work; beyond `most_lost` it does without workers for four times as long. */
static const int64_t most_lost = 500000;
static _Thread_local int64_t lost, alone_until;

static int64_t nanoseconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void pause_briefly(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static int phase_of(uint32_t state) { return (int)(state % PHASES); }

static bool move_on(worker *w, uint32_t from, int phase) {
  return atomic_compare_exchange_strong(&w->state, &from, from - from % PHASES + (uint32_t)phase);
}

/* Runs what is left of a region, from one part on. */
static void take_parts(region *r, int first) {
  for (int i = 0; i < r->parts; i++) {
    int part = first + i < r->parts ? first + i : first + i - r->parts;
    uint64_t bit = (uint64_t)1 << part % 64;
    _Atomic uint64_t *taken = &r->taken[part / 64];
    if (atomic_load(taken) & bit || atomic_fetch_or(taken, bit) & bit) continue;
    r->work(r->argument, part);
  }
}

/* MARK: Workers */

static void wait_for_work(worker *w) {
  int64_t until = nanoseconds() + worker_patience;
  do {
    for (int i = 0; i < 32; i++) {
      if (phase_of(atomic_load(&w->state)) == ASKED) return;
      pause_briefly();
    }
  } while (nanoseconds() < until);
  pthread_mutex_lock(&w->lock);
  atomic_store(&w->is_asleep, 1);
  while (phase_of(atomic_load(&w->state)) != ASKED) pthread_cond_wait(&w->changed, &w->lock);
  atomic_store(&w->is_asleep, 0);
  pthread_mutex_unlock(&w->lock);
}

static void wake(worker *w) {
  pthread_mutex_lock(&w->lock);
  pthread_cond_broadcast(&w->changed);
  pthread_mutex_unlock(&w->lock);
}

static void *run_worker(void *argument) {
  worker *w = argument;
  for (;;) {
    wait_for_work(w);
    uint32_t state = atomic_load(&w->state);
    // The caller may have done all by itself meanwhile.
    if (phase_of(state) != ASKED || !move_on(w, state, RUNNING)) continue;
    take_parts(w->region, w->first_part);
    move_on(w, atomic_load(&w->state), IDLE);
    if (atomic_load(&w->waiting)) wake(w);
  }
  return 0;
}

/* As many as there can be, up to `wanted`: the parts of those that are missing are the caller's. */
static void hire(int wanted) {
  pthread_mutex_lock(&hiring);
  sigset_t before;
  // Signals are for the threads of the program.
  platform_hold_signals(&before);
  for (int count = atomic_load(&worker_count); count < wanted; count++) {
    worker *w = &workers[count];
    pthread_mutex_init(&w->lock, 0);
    pthread_cond_init(&w->changed, 0);
    pthread_t thread;
    if (pthread_create(&thread, 0, run_worker, w) != 0) break;
    pthread_detach(thread);
    atomic_store(&worker_count, count + 1);
  }
  platform_release_signals(&before);
  pthread_mutex_unlock(&hiring);
}

/* MARK: Callers */

void kernels_enter(void) { atomic_fetch_add(&caller_count, 1); }
void kernels_leave(void) { atomic_fetch_sub(&caller_count, 1); }

/* Asks a worker that is free; its state in that case. */
static uint32_t ask(worker *w, region *r, int part) {
  uint32_t state = atomic_load(&w->state);
  if (phase_of(state) != IDLE || !move_on(w, state, RESERVED)) return 0;
  w->region = r;
  w->first_part = part;
  state += PHASES;
  atomic_store(&w->state, state - state % PHASES + ASKED);
  if (atomic_load(&w->is_asleep)) wake(w);
  return state - state % PHASES + ASKED;
}

/* Returns when the worker does not look at the region any more. */
static void dismiss(worker *w, uint32_t asked) {
  if (move_on(w, asked, IDLE)) return;
  uint32_t running = asked - ASKED + RUNNING;
  int64_t until = nanoseconds() + caller_patience;
  do {
    for (int i = 0; i < 32; i++) {
      if (atomic_load(&w->state) != running) return;
      pause_briefly();
    }
  } while (nanoseconds() < until);
  pthread_mutex_lock(&w->lock);
  atomic_fetch_add(&w->waiting, 1);
  while (atomic_load(&w->state) == running) pthread_cond_wait(&w->changed, &w->lock);
  atomic_fetch_sub(&w->waiting, 1);
  pthread_mutex_unlock(&w->lock);
}

void kernels_parallel(int threads, void (*work)(void *, int), void *argument) {
  if (threads <= 1 || (alone_until && nanoseconds() < alone_until)) {
    for (int part = 0; part < threads; part++) work(argument, part);
    return;
  }
  region r = {work, argument, threads, {0}};
  int count = atomic_load(&worker_count);
  if (count < threads - 1) {
    hire(threads - 1);
    count = atomic_load(&worker_count);
  }
  // Each caller has a core first; workers are for the cores that are left.
  int idle_cores = kernels_available_cores() - atomic_load(&caller_count);
  int wanted = threads - 1 < idle_cores ? threads - 1 : idle_cores;
  uint32_t asked[KERNELS_MOST_THREADS - 1];
  int helpers[KERNELS_MOST_THREADS - 1], helping = 0;
  for (int i = 0; i < count && helping < wanted; i++) {
    uint32_t state = ask(&workers[i], &r, helping + 1);
    if (!state) continue;
    asked[helping] = state;
    helpers[helping++] = i;
  }
  int64_t start = nanoseconds();
  take_parts(&r, 0);
  int64_t middle = nanoseconds();
  for (int i = 0; i < helping; i++) dismiss(&workers[helpers[i]], asked[i]);
  int64_t end = nanoseconds(), worked = middle - start, waited = end - middle;
  lost += waited > worked + caller_patience ? waited : -worked / 8;
  if (lost < 0) lost = 0;
  alone_until = lost > most_lost ? end + 4 * lost : 0;
  if (alone_until) lost = 0;
}

void kernels_for_each_part(int32_t parts, void (*work)(void *, int), void *argument) {
  kernels_enter();
  kernels_parallel(parts, work, argument);
  kernels_leave();
}

/* MARK: The platform */

#if defined(__linux__)
/* Of the OpenMP runtime that oneDNN uses; they hold for the calling thread. */
extern int omp_get_max_threads(void);
extern void omp_set_num_threads(int threads);
#else
static int omp_get_max_threads(void) { return 1; }
static void omp_set_num_threads(int threads) { (void)threads; }
#endif

int kernels_enter_library(void) {
  int before = omp_get_max_threads();
  if (before != 1) omp_set_num_threads(1);
  return before;
}

void kernels_leave_library(int before) {
  if (before != 1) omp_set_num_threads(before);
}

static int32_t cores;

__attribute__((constructor)) static void count_cores(void) {
  long count = sysconf(_SC_NPROCESSORS_ONLN);
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) count = CPU_COUNT(&allowed);
#endif
  cores = count < 1 ? 1 : count > KERNELS_MOST_THREADS ? KERNELS_MOST_THREADS : (int32_t)count;
}

int32_t kernels_available_cores(void) { return cores; }
