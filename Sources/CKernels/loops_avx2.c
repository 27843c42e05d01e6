/* The loops for AVX2 and fused multiply-add. */
#include "internal.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"), min_vector_width(256))), apply_to = function)
#pragma clang fp contract(fast)
#define SUFFIX avx2
#define LANES 8
#define PANEL 2
#define TILE 6
#include "loops/loops.h"
#pragma clang attribute pop
#endif
