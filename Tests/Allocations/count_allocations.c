/*
 * Counts heap allocations by the library that asks for them. Linux with glibc; load it with LD_PRELOAD.
 *
 *   cc -std=c11 -O1 -shared -fPIC Tests/Allocations/count_allocations.c -o count_allocations.so
 *
 * A call belongs to the library its return address lies in. libdidact holds the Swift runtime, whose calls count as
 * Didact's. What libc allocates for a caller, as strdup does, counts as "other".
 *
 * COUNT_ALLOCATIONS_TRACE=1 prints where the first 20 calls of libdidact since the start come from; a larger number
 * prints as many. Tests/Allocations/summarize_traces puts names to them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DIDACT, DNNL, GOMP, OTHER, LIBRARIES, MOST_RANGES = 32, MOST_FRAMES = 64 };
static const char *const names[LIBRARIES] = {"libdidact", "libdnnl", "libgomp", "other"};

typedef struct {
  uintptr_t begin, end;
  int library;
} code_range;

static code_range ranges[MOST_RANGES];
static int range_count;
static atomic_bool counting;
static atomic_long calls[LIBRARIES];
static atomic_long traces_left;

/* Initial-exec, because other thread-local memory may be allocated at its first use. */
#define THREAD_LOCAL static _Thread_local __attribute__((tls_model("initial-exec")))
/*
 * Volatile, because glibc declares dlsym and others as "leaf", functions that do not call back into this file. They do,
 * by malloc, and the compiler would leave out what is set around them.
 */
THREAD_LOCAL volatile bool tracing;
THREAD_LOCAL volatile bool resolving;

/* MARK: The real functions */

static struct {
  void *(*malloc)(size_t);
  void *(*calloc)(size_t, size_t);
  void *(*realloc)(void *, size_t);
  int (*posix_memalign)(void **, size_t, size_t);
  void *(*aligned_alloc)(size_t, size_t);
  void *(*operator_new)(size_t);
  void *(*operator_new_aligned)(size_t, size_t);
} real;

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);

/* A constructor, so that it is done before there are threads; constructors that run earlier call it themselves. */
__attribute__((constructor)) static void resolve(void) {
  if (real.malloc || resolving) return;
  resolving = true;
  *(void **)&real.calloc = dlsym(RTLD_NEXT, "calloc");
  *(void **)&real.realloc = dlsym(RTLD_NEXT, "realloc");
  *(void **)&real.posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
  *(void **)&real.aligned_alloc = dlsym(RTLD_NEXT, "aligned_alloc");
  *(void **)&real.operator_new = dlsym(RTLD_NEXT, "_Znwm");
  *(void **)&real.operator_new_aligned = dlsym(RTLD_NEXT, "_ZnwmSt11align_val_t");
  *(void **)&real.malloc = dlsym(RTLD_NEXT, "malloc");
  resolving = false;
}

/* MARK: Counting */

static int library_of(const char *path) {
  const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
  for (int i = 0; i < OTHER; i++)
    if (strncmp(file, names[i], strlen(names[i])) == 0) return i;
  return OTHER;
}

static int add_ranges(struct dl_phdr_info *info, size_t size, void *unused) {
  (void)size, (void)unused;
  int library = library_of(info->dlpi_name);
  for (int i = 0; library != OTHER && i < info->dlpi_phnum && range_count < MOST_RANGES; i++) {
    const ElfW(Phdr) *part = &info->dlpi_phdr[i];
    if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
    uintptr_t begin = info->dlpi_addr + part->p_vaddr;
    ranges[range_count++] = (code_range){begin, begin + part->p_memsz, library};
  }
  return 0;
}

static void count(const void *caller) {
  if (!atomic_load_explicit(&counting, memory_order_acquire) || tracing) return;
  int library = OTHER;
  for (int i = 0; i < range_count; i++)
    if ((uintptr_t)caller >= ranges[i].begin && (uintptr_t)caller < ranges[i].end) library = ranges[i].library;
  atomic_fetch_add_explicit(&calls[library], 1, memory_order_relaxed);

  if (library != DIDACT || atomic_load(&traces_left) <= 0 || atomic_fetch_sub(&traces_left, 1) <= 0) return;
  tracing = true;
  void *frames[MOST_FRAMES];
  int depth = backtrace(frames, MOST_FRAMES);
  (void)!write(STDERR_FILENO, "allocation:\n", 12);
  backtrace_symbols_fd(frames, depth, STDERR_FILENO);
  tracing = false;
}

/* Counts from zero. Not while another thread allocates within an earlier count. */
void count_allocations_start(void) {
  atomic_store(&counting, false);
  range_count = 0;
  dl_iterate_phdr(add_ranges, NULL);
  for (int i = 0; i < LIBRARIES; i++) atomic_store(&calls[i], 0);

  const char *trace = getenv("COUNT_ALLOCATIONS_TRACE");
  long most = trace ? strtol(trace, NULL, 10) : 0;
  atomic_store(&traces_left, most == 1 ? 20 : most);
  void *frame[1];
  backtrace(frame, 1); /* its first call loads and allocates */
  atomic_store_explicit(&counting, true, memory_order_release);
}

void count_allocations_stop(void) { atomic_store(&counting, false); }

/* How often "libdidact", "libdnnl", "libgomp" or "other" allocated; -1 for a name that is none of them. */
long count_allocations_of(const char *library) {
  for (int i = 0; i < LIBRARIES; i++)
    if (strcmp(library, names[i]) == 0) return atomic_load(&calls[i]);
  return -1;
}

/* MARK: The wrappers */

#define COUNT() count(__builtin_return_address(0))

void *malloc(size_t size) {
  if (!real.malloc) resolve();
  if (!real.malloc) return __libc_malloc(size); /* from within dlsym */
  COUNT();
  return real.malloc(size);
}

void *calloc(size_t items, size_t size) {
  if (!real.malloc) resolve();
  if (!real.malloc) return __libc_calloc(items, size); /* from within dlsym */
  COUNT();
  return real.calloc(items, size);
}

void *realloc(void *old, size_t size) {
  if (!real.malloc) resolve();
  COUNT();
  return real.realloc(old, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
  if (!real.malloc) resolve();
  COUNT();
  return real.posix_memalign(out, alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
  if (!real.malloc) resolve();
  COUNT();
  return real.aligned_alloc(alignment, size);
}

/*
 * operator new of C++, which would otherwise count as libstdc++'s call of malloc. The real one is left the case that
 * it throws in, and the memory is malloc's as it would be there.
 */
void *_Znwm(size_t size) {
  if (!real.malloc) resolve();
  COUNT();
  void *memory = real.malloc(size ? size : 1);
  return memory ? memory : real.operator_new(size);
}

void *_Znam(size_t size) {
  if (!real.malloc) resolve();
  COUNT();
  void *memory = real.malloc(size ? size : 1);
  return memory ? memory : real.operator_new(size);
}

void *_ZnwmSt11align_val_t(size_t size, size_t alignment) {
  if (!real.malloc) resolve();
  COUNT();
  size_t whole = (size + alignment - 1) & ~(alignment - 1);
  void *memory = real.aligned_alloc(alignment, whole ? whole : alignment);
  return memory ? memory : real.operator_new_aligned(size, alignment);
}
