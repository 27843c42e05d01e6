/* What the files over oneDNN share. */
#pragma once

#include "internal.h"

#include <oneapi/dnnl/dnnl.h>

extern dnnl_engine_t kernels_engine;
extern dnnl_stream_t kernels_stream;
/* Makes both once; false where that fails. */
bool kernels_start_library(void);
