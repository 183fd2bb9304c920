/*
 * mnistzip for a bare machine: bare streams (FORMAT.md, section 8) of images of 28 x 28 pixels.
 *
 * `mnistzip export` writes the part of a model that is needed into a C header, whose constants have the types of this file. Compile
 * micro.c with rans.c and tables.c of the folder above. They need no heap, no floating point and no operating system; of the C
 * library they call memcpy, memmove and memset.
 *
 * Bytes and pixels are those of mnistzip.encode(..., bare=True, effort=0) and mnistzip.decode_bare in Python.
 */
#ifndef MNISTZIP_MICRO_H
#define MNISTZIP_MICRO_H

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The constants of an exported model ---- */

/* What one weight has beyond 8 bits: high * 256 is added to it. */
typedef struct {
    uint16_t input;
    uint8_t output;
    int8_t high;
} mnz_micro_excess;

/*
 * Matrices, one behind the other. A matrix is laid out in blocks of 8 outputs, then one of 4 if 4 are left, then single ones, and a
 * block by its inputs: the weights of its outputs for the first input, then those for the second.
 */
typedef struct {
    const int8_t *narrow;           /* the low 8 bits of the weights, or NULL, then: */
    const int16_t *wide;
    const mnz_micro_excess *excess; /* of narrow weights */
    const uint16_t *excesses;       /* how many each matrix has */
} mnz_micro_weights;

typedef struct {
    uint8_t op;                     /* an mnz_op */
    uint8_t size;                   /* of the kernel of a convolution, or of squares */
    uint8_t inner;                  /* of a residual: how many of the layers that follow are inside */
    uint8_t everywhere;             /* the bias `place` is one for all positions */
    uint16_t height, width, channels; /* of the input */
    uint16_t outputs;               /* channels of the output */
    int16_t low, high;              /* of the output */
    uint32_t to;                    /* where the output begins in the memory of the network, in numbers of 16 bits */
    mnz_micro_weights weights;
    const int32_t *place, *quality; /* place holds the half that rounds; quality has a row for each exported quality */
    const uint8_t *shift;
    const int16_t *factor;          /* of a gain, a row for each exported quality */
    const int16_t *table;           /* of a lookup: for inputs from table_low upwards */
    int32_t table_low;
} mnz_micro_layer;

/* Layers, those inside a residual behind it. The memory plan is made at export: an output takes the place of arrays that nothing
   reads any more. */
typedef struct {
    const mnz_micro_layer *layer;   /* NULL if the network is left out */
    uint16_t count;
    uint16_t patch;                 /* most inputs of a convolution at one position */
    uint16_t outputs;               /* most outputs at one position */
    uint32_t memory;                /* numbers of 16 bits */
} mnz_micro_network;

typedef struct {
    uint16_t near, far;             /* numbers of a position, and of a symbol */
    mnz_micro_weights near_weight, far_weight, skip_weight; /* a matrix for each position: of what lies before it */
    mnz_micro_weights own_weight;   /* of each position three: from its first channel to those behind, from its second, third */
    mnz_micro_weights head_weight;  /* of each symbol one */
    const int32_t *near_bias, *far_bias; /* a row for each exported quality */
    const int32_t *head_bias;
    const uint8_t *near_shift, *far_shift, *head_shift;
} mnz_micro_prior;

typedef struct {
    uint8_t quality_low, quality_high; /* the exported qualities */
    int8_t low;                     /* symbols are low ... low + values - 1 */
    uint8_t values;
    uint8_t fine_shift;
    const uint32_t *check;          /* for each exported quality the CRC-32 of what a check covers before the symbols */
    const int32_t *fine, *step;     /* 4 numbers for each exported quality */
    mnz_micro_network analysis, synthesis;
    mnz_micro_prior prior;
} mnz_micro_model;

/* ---- Coding. The exported header says how many bytes of workspace are needed, aligned as an array of uint64_t is. ---- */

enum { MNZ_MICRO_ALIGNMENT = 8 };

/*
 * Encode MNZ_TILE_PIXELS grey levels, row by row, into a bare stream.
 *
 * quality: one that the model was exported with. check_bits: 0 to 23, as in Python.
 *
 * MNZ_ERROR_ARGUMENT: a null pointer, a quality or check_bits out of range, or a model without encoder. MNZ_ERROR_MEMORY: the
 * workspace is too small or not aligned. MNZ_ERROR_OUTPUT: the stream has more than `capacity` bytes; *size is then what it has.
 */
mnz_status mnz_micro_encode(const mnz_micro_model *model, int quality, int check_bits, const uint8_t *pixels, uint8_t *out,
                            size_t capacity, size_t *size, void *workspace, size_t workspace_size);

/*
 * Decode a bare stream to MNZ_TILE_PIXELS grey levels. The errors are those above, and MNZ_ERROR_DAMAGED: the stream does not end on its check.
 * Then pixels are not written.
 */
mnz_status mnz_micro_decode(const mnz_micro_model *model, int quality, int check_bits, const uint8_t *stream, size_t size,
                            uint8_t *pixels, void *workspace, size_t workspace_size);

#ifdef __cplusplus
}
#endif
#endif
