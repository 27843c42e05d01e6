/* What the files over oneDNN share. */
#pragma once

#include "internal.h"

#include <oneapi/dnnl/dnnl.h>

extern dnnl_engine_t kernels_engine;
extern dnnl_stream_t kernels_stream;
/* Before primitives are made: makes both once; false where that fails, or where no memory is left. */
bool kernels_start_library(void);

/* Around all that makes or frees primitives: one thread at a time. */
int kernels_begin_making(void);
void kernels_end_making(int before);
/* Of a primitive that adds to its destination, or not, and whose scratch memory is ours, so that it may run on another
 * thread than it was made on. 0 where there is no memory. */
dnnl_primitive_attr_t kernels_attributes(bool adds);
/* An argument of a primitive, by the name that oneDNN gives it (DNNL_ARG_SRC, ...): what the primitive takes it to be, and
 * the floats that it needs. */
const dnnl_memory_desc_t *kernels_described(dnnl_primitive_t primitive, int name);
int64_t kernels_floats_of(dnnl_primitive_t primitive, int name);
typedef struct {
  int name;
  const void *address;
} primitive_argument;
/* False where there is no memory. */
bool kernels_run_primitive(dnnl_primitive_t primitive, int count, const primitive_argument *arguments);
