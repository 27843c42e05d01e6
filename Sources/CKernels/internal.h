/* What the files of this target share. */
#pragma once

#include "CKernels.h"
#include "CPlatform.h"

#include <string.h>

/* Products up to this wide run as fused loops over blocks of rows, wider ones through oneDNN. */
enum { KERNELS_NARROW = 128 };
/* Below so many rows a product is read through once, whatever its width: no primitive, no thread. */
enum { KERNELS_FEW_ROWS = 32 };

/* What `kernels_plan` makes of a product or a normalisation and the ReLU, leaky or not, behind it: one operation that
 * stores the result of the second. The slope is its first scalar. */
typedef enum {
  KERNELS_NOT_JOINED,
  /* DENSE, NORMALIZATION: output ← f(product), f(normalised) */
  KERNELS_JOINED_ACTIVATION,
  /* Products: result ← f′(operand 7) ⊙ product. NORMALIZATION_BACKWARD and its sums: f′ ⊙ output cotangent in place of
   * the latter, with f′ at what the normalisation gives, computed again. */
  KERNELS_JOINED_DERIVATIVE,
  /* The second of the two, with nothing left to do. */
  KERNELS_JOINED_AWAY,
} kernels_joined;

/* The loops of one instruction set (loops.h). */
typedef struct {
  void (*prepare)(const kernels_operation *, const kernels_run *, float *scratch, int thread);
  void (*rows)(const kernels_operation *, const kernels_run *, float *scratch, int thread, int64_t first, int64_t last);
  void (*columns)(const kernels_operation *, const kernels_run *, int64_t first, int64_t last);
  /* Sums of rows, of which the thread's begin at `origin`; added up over the threads; and what follows from them. */
  void (*partial_sums)(
      const kernels_operation *, const kernels_run *, float *scratch, int64_t origin, int64_t first, int64_t last);
  void (*add_sums)(
      const kernels_operation *, const kernels_run *, int64_t origin, int64_t rows, const float *scratch, float *total);
  void (*finish_sums)(const kernels_operation *, const kernels_run *, const float *total);
  double (*chunk)(const kernels_operation *, const kernels_run *, int64_t first, int64_t last);
  void (*reduce)(int64_t count, float *target, const float *partial);
  void (*to_bfloat16)(int64_t count, const float *x, uint16_t *y);
  void (*round_to_bfloat16)(int64_t count, const float *x, float *y);
  void (*widen)(int64_t count, const uint16_t *x, float *y);
  kernels_pixel_loops pixels;
} kernels_loops;

extern const kernels_loops kernels_loops_baseline, kernels_loops_avx2, kernels_loops_avx512;
const kernels_loops *kernels_chosen_loops(void);

/* Calls work(argument, part) for every part in 0..<parts, in parallel where threads are free (parallel.c). */
void kernels_parallel(int parts, void (*work)(void *argument, int part), void *argument);
enum { KERNELS_MOST_THREADS = 256 };
/* Around what a calling thread computes: so many cores are taken. */
void kernels_enter(void);
void kernels_leave(void);
/* Around calls of oneDNN: between them it starts no threads of its own. */
int kernels_enter_library(void);
void kernels_leave_library(int before);

/* oneDNN's products (onednn.c). */
bool kernels_is_large_product(const kernels_operation *operation);
/* Makes the primitives, for so many threads; returns the floats of scratch memory that each needs, or -1. */
int64_t kernels_make_products(kernels_operation *operation, int threads);
void kernels_free_products(kernels_operation *operation);
/* How many threads the products use of those they were made for. */
int kernels_threads_of_products(const kernels_operation *operation);
/* False where they cannot run, for want of memory. */
bool kernels_run_products(const kernels_operation *operation, const kernels_run *run);

/* Convolutions (onednn_convolution.c), which run part by part: `examples` of them at a time, each thread as many parts
 * that follow each other. How many examples a part had best; the primitives and the scratch memory of a thread, as above. */
int64_t kernels_examples_of_part(const kernels_operation *operation);
int64_t kernels_make_convolution(kernels_operation *operation, int threads, int64_t examples);
/* The floats of its weights, as the primitives want them, or of their cotangents; and where they are put, in the scratch
 * memory of each thread, or before that of the first (less than 0). */
int64_t kernels_weights_of_convolution(const kernels_operation *operation);
void kernels_put_weights_of_convolution(kernels_operation *operation, int64_t at);
void kernels_free_convolution(kernels_operation *operation);
kernels_division kernels_division_of_convolution(const kernels_operation *operation);
/* Puts the weights there, on any thread, before the parts of all threads; and after these, on one, adds up their cotangents.
 * False where there is no memory. */
bool kernels_begin_convolution(const kernels_operation *operation, const kernels_run *run, int thread);
bool kernels_run_part_of_convolution(const kernels_operation *operation, const kernels_run *run, int thread, int part);
bool kernels_end_convolution(const kernels_operation *operation, const kernels_run *run);

/* How an operation runs. */
typedef enum {
  /* Each row by itself. */
  BY_ROWS,
  /* Parts of the examples, by oneDNN. */
  CONVOLUTION,
  /* Sums over the rows of each column: by columns, or, of many rows, by rows that are added up. */
  BY_COLUMNS,
  SUMS_BY_ROWS,
  /* One number: by chunks whose size does not depend on the threads. */
  BY_CHUNKS,
  /* A product that is oneDNN's. */
  LARGE_PRODUCT,
} kernels_kind;

/* How many elements the operands have in a row: so many as there are columns, or, for each channel, the pixels of an image.
 * The operand `apart` differs from the others: in windows it is the input, in pixels it has one element for each channel. */
typedef enum { OF_COLUMNS, OF_WINDOWS, OF_PIXELS } kernels_row;

/* What is known of an operation by its code (operations.c). */
typedef struct {
  const char *name;
  /* BY_ROWS is said of products too, which may be large, and BY_COLUMNS of sums that may run by rows. */
  kernels_kind kind;
  /* What one column of a row costs, and a row beside its columns, in multiply-adds of a product: measured, roughly. Products
   * and convolutions count their own. */
  double of_column, of_row;
  kernels_row row;
  int apart;
  /* Whether operand 0 is written without having been read. */
  bool overwrites;
} kernels_facts;

extern const kernels_facts kernels_all_facts[KERNELS_CODES];
static inline const kernels_facts *facts_of(const kernels_operation *o) { return &kernels_all_facts[o->code]; }

static inline bool kernels_is_convolution(const kernels_operation *o) { return facts_of(o)->kind == CONVOLUTION; }

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static inline void *operand(const kernels_operation *o, const kernels_run *run, int index) {
  uint64_t value = o->operands[index];
  uintptr_t base = (uintptr_t)run->bases[value >> 56 & 0x3f];
  return value ? (void *)(base + (uintptr_t)(value & 0x00ffffffffffffff)) : 0;
}

/* Rows of a transposed weight start at multiples of a vector. */
static inline int64_t padded(int64_t count) { return (count + 15) & ~(int64_t)15; }

/* Whether an operand is kept as bfloat16, as the highest bit says; what is computed with it is float32 all the same. */
static inline bool is_bfloat16(const kernels_operation *o, int index) { return o->operands[index] >> 63; }

static inline bool has_bfloat16(const kernels_operation *o) {
  uint64_t any = 0;
  for (int i = 0; i < KERNELS_OPERANDS; i++) any |= o->operands[i];
  return any >> 63;
}

/* Whether an operand, float32, is kept in blocks of channels, as the bit below says. */
static inline bool is_in_blocks(const kernels_operation *o, int index) { return o->operands[index] >> 62 & 1; }

static inline bool has_blocks(const kernels_operation *o) {
  uint64_t any = 0;
  for (int i = 0; i < KERNELS_OPERANDS; i++) any |= o->operands[i];
  return any >> 62 & 1;
}

/* Whether an operand is kept otherwise than as float32, channels last. */
static inline bool has_own_form(const kernels_operation *o) { return has_bfloat16(o) || has_blocks(o); }

/* The elements of an operand, an image or a vector, in one row of an operation. */
static inline int64_t row_length(const kernels_operation *o, int index) {
  const kernels_images *i = &o->images;
  bool is_apart = index == facts_of(o)->apart;
  switch (facts_of(o)->row) {
    case OF_COLUMNS: break;
    case OF_WINDOWS: return o->columns * (is_apart ? i->height * i->width : i->output_height * i->output_width);
    case OF_PIXELS: return o->columns * (is_apart ? 1 : o->inner);
  }
  return o->columns;
}

/* Operands that are kept as bfloat16 are widened so many elements at a time, or row by row where rows are longer. */
enum { KERNELS_WIDENED = 4096 };

static inline int64_t widened_rows(const kernels_operation *o) {
  int64_t longest = 1;
  for (int i = 0; i < KERNELS_OPERANDS; i++) {
    if (is_bfloat16(o, i) && row_length(o, i) > longest) longest = row_length(o, i);
  }
  return longest < KERNELS_WIDENED ? KERNELS_WIDENED / longest : 1;
}

/* Floats of one thread for that. */
static inline int64_t widened_room(const kernels_operation *o) {
  int64_t rows = widened_rows(o), room = 0;
  for (int i = 0; i < KERNELS_OPERANDS; i++) {
    if (is_bfloat16(o, i)) room += padded(rows * row_length(o, i));
  }
  return room;
}

static inline bool is_normalization(const kernels_operation *o) {
  return o->code == KERNELS_NORMALIZATION || o->code == KERNELS_NORMALIZATION_BACKWARD
      || o->code == KERNELS_NORMALIZATION_TANGENT;
}

/* Sums over the rows of each column by rows, as they lie: those over many rows of few columns, as of images. */
enum { KERNELS_SUMMED_ROWS = 4096, KERNELS_SUMMED_COLUMNS = 256 };
static inline bool is_summed_by_rows(const kernels_operation *o) {
  // The sums of a convolution's bias; dense layers see no images.
  if (o->code == KERNELS_DENSE_PARAMETER_COTANGENTS) return has_own_form(o);
  // Running statistics are not summed up.
  bool is_sum = facts_of(o)->kind == BY_COLUMNS && (o->code != KERNELS_NORMALIZATION_STATISTICS || o->option != 0);
  return is_sum && (has_own_form(o) || (o->rows >= KERNELS_SUMMED_ROWS && o->columns <= KERNELS_SUMMED_COLUMNS));
}

/* Floats of one thread for the four numbers of float64 a column that a normalisation by rows is made of, and before them
 * the three that a joined derivative is found by. */
static inline int64_t gate_room(const kernels_operation *o) {
  return o->joined == KERNELS_JOINED_DERIVATIVE ? 3 * padded(o->columns) : 0;
}
/* And for two sums a column, in float64, and behind them the same three numbers. */
static inline int64_t sums_room(const kernels_operation *o) {
  return is_summed_by_rows(o) ? padded(4 * o->columns) + gate_room(o) : 0;
}
static inline int64_t column_maps_room(const kernels_operation *o) {
  return is_normalization(o) ? gate_room(o) + 8 * padded(o->columns) : 0;
}

/* Whether the product of a dense layer runs along the outputs, for which the weight must be transposed. */
static inline bool needs_transpose(const kernels_operation *o) {
  return o->rows > 8 && o->columns > 4 && o->columns <= KERNELS_NARROW && o->inner <= KERNELS_NARROW;
}
