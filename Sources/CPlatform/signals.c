#define _GNU_SOURCE
#include <pthread.h>
#include <stddef.h>

#include "CPlatform.h"

void platform_hold_signals(sigset_t *before) {
  static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
  sigset_t held;
  sigfillset(&held);
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&held, faults[i]);
  pthread_sigmask(SIG_BLOCK, &held, before);
}

void platform_release_signals(const sigset_t *before) { pthread_sigmask(SIG_SETMASK, before, 0); }
