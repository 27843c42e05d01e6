/* What the operating system has and Swift cannot say: signals, and files in memory. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

/* Blocks all signals in this thread but those that a fault of its own raises. */
void platform_hold_signals(sigset_t *before);
/* Sets the mask back. */
void platform_release_signals(const sigset_t *before);

/* Maps `length` bytes of a file, to be read. Where the file becomes shorter, what is gone reads as zeros, and
 * platform_lost_mapping tells. The first call installs a handler for SIGBUS, which passes on what is about other memory.
 * 0, or the system's error. */
int platform_map(int descriptor, int64_t length, void **address);
void platform_unmap(void *address, int64_t length);
/* Whether any file is mapped. */
bool platform_has_mappings(void);
/* Where the mapping begins whose file was written to, or that has lost some of its bytes, and has some in [begin, end); 0 where there is none. */
const void *platform_lost_mapping(const void *begin, const void *end);
