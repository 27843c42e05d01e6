/* Which loops this processor has. */
#include "internal.h"

#include <stdlib.h>
#include <strings.h>

static const kernels_loops *chosen_loops;
static const char *chosen_name;

/* Before main, so that no thread sees it half made. */
__attribute__((constructor)) static void choose_loops(void) {
  chosen_loops = &kernels_loops_baseline;
  chosen_name = "baseline";
#if defined(__x86_64__)
  const char *most = getenv("DIDACT_MAX_CPU_ISA");
  __builtin_cpu_init();
  bool is_limited = most && (!strcasecmp(most, "avx2") || !strcasecmp(most, "baseline"));
  if (!is_limited && __builtin_cpu_supports("x86-64-v4")) {
    chosen_loops = &kernels_loops_avx512;
    chosen_name = "avx512";
  } else if ((!is_limited || !strcasecmp(most, "avx2")) && __builtin_cpu_supports("x86-64-v3")) {
    chosen_loops = &kernels_loops_avx2;
    chosen_name = "avx2";
  }
#endif
}

const kernels_loops *kernels_chosen_loops(void) { return chosen_loops; }
const kernels_pixel_loops *kernels_pixels(void) { return &chosen_loops->pixels; }
const char *kernels_instruction_set(void) { return chosen_name; }
