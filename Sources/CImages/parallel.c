#include "CImages.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

typedef struct {
  void (*work)(void *, int64_t);
  void *argument;
  int64_t count;
  _Atomic int64_t next;
} loop;

static void *take_indices(void *argument) {
  loop *l = argument;
  for (int64_t index; (index = atomic_fetch_add(&l->next, 1)) < l->count;) l->work(l->argument, index);
  return 0;
}

void images_parallel(int32_t threads, int64_t count, void (*work)(void *, int64_t), void *argument) {
  enum { MOST_THREADS = 256 };
  loop l = {work, argument, count, 0};
  pthread_t helpers[MOST_THREADS];
  int32_t started = 0, wanted = threads < MOST_THREADS ? threads : MOST_THREADS;
  if (wanted > count) wanted = (int32_t)count;
  sigset_t all, before;
  sigfillset(&all);
  // Signals are for the threads of the program.
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (started < wanted - 1 && pthread_create(&helpers[started], 0, take_indices, &l) == 0) started++;
  pthread_sigmask(SIG_SETMASK, &before, 0);
  take_indices(&l);
  for (int32_t i = 0; i < started; i++) pthread_join(helpers[i], 0);
}
