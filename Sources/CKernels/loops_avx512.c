/* The loops for AVX-512. */
#include "internal.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"), min_vector_width(512))), apply_to = function)
#pragma clang fp contract(fast)
#define SUFFIX avx512
#define LANES 16
#define PANEL 4
#define TILE 6
#include "loops/loops.h"
#pragma clang attribute pop
#endif
