/* Mapped files. Where a file has become shorter, reading its mapping raises SIGBUS, which would end the program: pages that
 * are gone become zeros instead, and the mapping remembers it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "CPlatform.h"

#if defined(__APPLE__)
#define st_mtim st_mtimespec
#endif

typedef struct mapping {
  /* Both 0 where the entry is free. */
  _Atomic uintptr_t begin, end;
  atomic_int is_lost;
  /* Of the file, to ask for its length and when it was written to. */
  int descriptor;
  struct timespec written;
  /* Entries are used again, never freed: a signal handler walks them. */
  struct mapping *next;
} mapping;

static _Atomic(mapping *) mappings;
static atomic_int mapping_count;
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before_ours;
static uintptr_t page_size;

/* The first one that has bytes of a range. */
static mapping *find(uintptr_t begin, uintptr_t end) {
  for (mapping *m = atomic_load(&mappings); m; m = m->next)
    if (atomic_load(&m->begin) < end && begin < atomic_load(&m->end)) return m;
  return 0;
}

/* Does only what a handler may: atomics, and system calls. */
static void replace_page(int number, siginfo_t *info, void *context) {
  uintptr_t address = (uintptr_t)info->si_addr, page = address - address % page_size;
  mapping *m = find(address, address + 1);
  int error = errno;
  if (m && mmap((void *)page, page_size, PROT_READ, MAP_PRIVATE | MAP_ANON | MAP_FIXED, -1, 0) != MAP_FAILED) {
    errno = error;
    atomic_store(&m->is_lost, 1);
  } else if (before_ours.sa_flags & SA_SIGINFO) {
    before_ours.sa_sigaction(number, info, context);
  } else if (before_ours.sa_handler != SIG_DFL && before_ours.sa_handler != SIG_IGN) {
    before_ours.sa_handler(number);
  } else {
    /* The instruction runs again, and ends the program. */
    sigaction(number, &before_ours, 0);
  }
}

static void watch(void) {
  page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
  struct sigaction ours = {.sa_sigaction = replace_page, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigemptyset(&ours.sa_mask);
  sigaction(SIGBUS, &ours, &before_ours);
}

/* An entry that is free; 0 where there is no memory. */
static mapping *free_entry(void) {
  mapping *m = atomic_load(&mappings);
  while (m && atomic_load(&m->end)) m = m->next;
  if (m || !(m = calloc(1, sizeof *m))) return m;
  m->next = atomic_load(&mappings);
  atomic_store(&mappings, m);
  return m;
}

int platform_map(int descriptor, int64_t length, void **address) {
  int own = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  void *place = own < 0 ? MAP_FAILED : mmap(0, (size_t)length, PROT_READ, MAP_PRIVATE, own, 0);
  int error = errno;
  struct stat status;
  if (place != MAP_FAILED && fstat(own, &status) == 0) {
    pthread_mutex_lock(&changing);
    if (!page_size) watch();
    mapping *m = free_entry();
    if (m) {
      m->descriptor = own;
      m->written = status.st_mtim;
      atomic_store(&m->is_lost, 0);
      atomic_store(&m->begin, (uintptr_t)place);
      atomic_store(&m->end, (uintptr_t)place + (uintptr_t)length);
      *address = place;
    }
    if (m) atomic_fetch_add(&mapping_count, 1);
    pthread_mutex_unlock(&changing);
    if (m) return 0;
    error = ENOMEM;
    munmap(place, (size_t)length);
  }
  if (own >= 0) close(own);
  return error;
}

void platform_unmap(void *address, int64_t length) {
  pthread_mutex_lock(&changing);
  mapping *m = find((uintptr_t)address, (uintptr_t)address + 1);
  if (m) {
    close(m->descriptor);
    atomic_fetch_sub(&mapping_count, 1);
    atomic_store(&m->end, 0);
    atomic_store(&m->begin, 0);
  }
  pthread_mutex_unlock(&changing);
  munmap(address, (size_t)length);
}

bool platform_has_mappings(void) { return atomic_load_explicit(&mapping_count, memory_order_relaxed) > 0; }

const void *platform_lost_mapping(const void *begin, const void *end) {
  mapping *m = find((uintptr_t)begin, (uintptr_t)end);
  if (!m) return 0;
  uintptr_t first = atomic_load(&m->begin);
  struct stat status;
  /* What is missing of the last page reads as zeros, without a signal; what became shorter may have grown again. */
  bool is_other = fstat(m->descriptor, &status) != 0 || (uintptr_t)status.st_size < atomic_load(&m->end) - first ||
                  status.st_mtim.tv_sec != m->written.tv_sec || status.st_mtim.tv_nsec != m->written.tv_nsec;
  return is_other || atomic_load(&m->is_lost) ? (const void *)first : 0;
}
