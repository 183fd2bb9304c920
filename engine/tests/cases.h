/* What the files that run cases share. */
#ifndef CASES_H
#define CASES_H

#include "mnistzip.h"

/* Kinds of cases, as tools/engine_cases.py numbers them. */
enum {
    END,
    MODEL,
    ANALYSE,
    FIRST_LATENT,
    REFINE,
    REFINE_TO_BUDGET,
    LATENT_SYMBOLS,
    SYNTHESIZE,
    ENCODE_LATENTS,
    DECODE_LATENTS,
    PIXEL_SYMBOLS,
    ENCODE_PIXELS,
    DECODE_PIXELS,
    ENCODE_INTERVALS,
    ANALYSE_IMAGE,
    REFINE_IMAGE,
    IMAGE_SYMBOLS,
    SYNTHESIZE_IMAGE,
    DECODE_IMAGE_LATENTS,
    IMAGE_PIXEL_SYMBOLS,
    DECODE_PIXEL_IMAGES,
    FIND_BITMAP,
    DIGIT_OF,
    BITMAP_SYMBOLS,
    DECODE_BITMAPS,
    READ_HEADER,
    ENCODE_FILE,
    DECODE_FILE,
    MEASURE_FILE,
    KINDS
};

enum { PARAMETERS = 7, ARRAYS = 8, TILES_MAX = MNZ_TILES_PER_STREAM };

/* A record, and copies of its arrays in memory of exactly their sizes. */
typedef struct {
    int32_t kind, parameter[PARAMETERS], size[ARRAYS];
} record;

typedef struct {
    record head;
    void *array[ARRAYS];
    size_t size[ARRAYS];
} test_case;

typedef struct {
    unsigned char *at;
    size_t size;
} memory;

void stop(const char *message);

/* Where arrays lie: in blocks of their own, or each in pages of its own. Then it ends where a page begins that nothing may read or write,
   or at the last multiple of its alignment before; or it starts where such a page ends. Blocks are for sanitizers. */
typedef enum { IN_BLOCKS, ENDS_AT_PAGE, STARTS_AT_PAGE } placing;

/* Choose where all arrays lie: "end", "start", or NULL for blocks. Call it before take. */
void place_arrays(const char *name);

/* Memory of exactly this size, and memory that is aligned to MNZ_ALIGNMENT. Its content is no zeros. */
void *take(size_t size);
memory allocate(size_t size);

/* Free either. Ends the program if something was written outside of it within its pages. */
void give(void *array);

int same(const test_case *c, int array, const void *result, size_t size);

/* expected: state, whether all bytes are used, check, whether the check passes. */
int same_final(const test_case *c, int array, mnz_final final, int check_bits);

/* A linear congruential generator: Knuth's MMIX. */
uint32_t pick(uint64_t *seed, uint32_t below);

/* Models of the kind grey: run a case, and compute something of everything with a model that loads. */
int run_grey(const mnz_model *model, const test_case *c);
void use_grey(const mnz_model *model, uint64_t *seed);

/* Whole files, of models of all kinds. */
int run_file(const mnz_model *model, const test_case *c);
void use_files(const mnz_model *model, uint64_t *seed);

/* The same for models of the kind bitmap. */
int run_bitmap(const mnz_model *model, const test_case *c);
void use_bitmaps(const mnz_model *model, uint64_t *seed);

#endif
