/* The loops for any machine: four floats at a time. */
#include "internal.h"

#pragma clang fp contract(fast)
#define SUFFIX baseline
#define LANES 4
#define PANEL 2
#define TILE 4
#include "loops/loops.h"
