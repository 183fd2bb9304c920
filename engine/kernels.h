/*
 * Kernels: the loops that take nearly all of the time. kernels_body.h is their one source. It is compiled once for each kind of
 * vector instructions, and mnz_kernels_named chooses a kind when a model is loaded.
 *
 * A matrix is laid out in blocks of 16 outputs, and within a block in pairs of inputs:
 *
 *     narrow[block][pair][output][2]    int16
 *
 * The products of a pair for one output are summed by one instruction (pmaddwd on x86). Sums are of 32 bits. They are exact,
 * because model.c proves that no sum of any model exceeds 2^24.
 */
#ifndef MNZ_KERNELS_H
#define MNZ_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum { MNZ_BLOCK = 16, MNZ_WEIGHED_MAX = 256, MNZ_ROWS = 6, MNZ_SIGNED_MAX = 112 };

typedef struct {
    int inputs;             /* of a run */
    int runs;               /* the rows of a convolution's kernel; 1 for other matrices */
    int pairs;              /* of a run: inputs / 2, rounded up */
    int outputs;
    int blocks;             /* outputs / 16, rounded up */
    const int16_t *narrow;  /* [blocks][runs * pairs][16][2]; NULL if weights or inputs need more than 16 bits, then: */
    const int32_t *wide;    /* [runs * inputs][16 * blocks] */
} mnz_matrix;

/* Pairs of inputs that are not both zero. */
typedef struct {
    int count;
    uint16_t *pair;         /* the index of each */
    int32_t *value;         /* the two inputs, as they lie in memory */
} mnz_sparse;

/* Rows of a table to add and to subtract, by their numbers. */
typedef struct {
    int added, subtracted;
    uint8_t add[MNZ_SIGNED_MAX], subtract[MNZ_SIGNED_MAX];
} mnz_signed_rows;

typedef struct {
    const char *name;

    /* sums[place][output] = the products of a matrix with the inputs of each place. The inputs of a place begin at
       x + offset[place]; its runs are run_stride numbers apart. Of the last run of a place, one number more may be read than
       it has. sums has 16 * blocks numbers for each place. */
    void (*products)(const int16_t *x, const int32_t *offset, int places, ptrdiff_t run_stride, const mnz_matrix *matrix,
                     int32_t *sums);

    /* The same with runs that begin at x + offset[place] + start[run], added to first[place * first_stride + output]. first has
       16 * blocks numbers for each place, and may be sums. */
    void (*products_at)(const int16_t *x, const int32_t *offset, int places, const ptrdiff_t *start, const mnz_matrix *matrix,
                        const int32_t *first, ptrdiff_t first_stride, int32_t *sums);

    /* sums[output] += the products of a matrix of one run with sparse inputs. */
    void (*sparse_products)(const mnz_sparse *x, const mnz_matrix *matrix, int32_t *sums);

    /* sums[o] += x * weights[o], for wide matrices. */
    void (*accumulate)(int32_t x, const int32_t *weights, int count, int32_t *sums);

    /* out[o] = clip((sums[o] + bias[o] + more[o]) >> shift[o], low, high). */
    void (*requantize)(const int32_t *sums, const int32_t *bias, const int32_t *more, const int32_t *shift, int count, int32_t low,
                       int32_t high, int32_t *out);

    /* weights[v] = T[largest logit - logit[v]] of section 3.2, where logit[v] = clip((sums[v] + bias[v]) >> shift[v]) and T ends with
       a 0 that holds for everything behind it. All arrays have a multiple of 16 numbers; those behind `values` are padding,
       whose biases make the least logit and whose weights become 0. Returns the sum of the weights. */
    uint64_t (*weigh)(const int32_t *sums, const int32_t *bias, const int32_t *shift, int values, const int32_t *table, int32_t last,
                      uint64_t *weights);

    /* out[c] = clip((x[c] * factor[c] + 128) >> 8, low, high). */
    void (*gain)(const int32_t *x, const int32_t *factor, int count, int32_t low, int32_t high, int32_t *out);

    /* out[k] = clip(x[k] + change[k], low, high). */
    void (*add)(const int32_t *x, const int32_t *change, int count, int32_t low, int32_t high, int32_t *out);

    /* out[k] = x[k], which fits 16 bits. */
    void (*narrow)(const int32_t *x, int count, int16_t *out);

    /* out[k] = {upper[k], lower[k]}. */
    void (*pair_rows)(const int16_t *upper, const int16_t *lower, int count, int16_t *out);

    /* Two rows of a convolution of each channel by itself: sums[row][column][c] = first[c] + the products. channels is a multiple of
       16. rows are (kernel + 1) / 2 rows of pairs, rows[r][column][c] = {of input row 2 * r, of row 2 * r + 1}, of
       columns + kernel - 1 columns; weights as in mnz_layer. */
    void (*depthwise)(const int16_t *const *rows, int kernel, int channels, const int16_t *weights, int columns, const int32_t *first,
                      int32_t *sums);

    /* out[place][o] = clip(sums[place * stride + o] >> shift[o], low, high), where out has count numbers for each place. */
    void (*settle)(const int32_t *sums, ptrdiff_t stride, int places, const int32_t *shift, int count, int32_t low, int32_t high,
                   int16_t *out);
    void (*settle_wide)(const int32_t *sums, ptrdiff_t stride, int places, const int32_t *shift, int count, int32_t low, int32_t high,
                        int32_t *out);

    /* gain and add on numbers of 16 bits; gain_narrow takes some places of `channels` numbers. out may be x. */
    void (*gain_narrow)(const int16_t *x, const int32_t *factor, int places, int channels, int32_t low, int32_t high, int16_t *out);
    void (*add_narrow)(const int16_t *x, const int16_t *change, int count, int32_t low, int32_t high, int16_t *out);

    /* Of the kind grey. out[j][k] = the cumulative frequency below symbol[k] + more + j, which is -bound - 2 to bound + 2, for a mean in
       256ths and the index of a scale. In 32 bits: model files bound all numbers. */
    void (*edges)(const int32_t *cumulative, const int32_t *inverse_scale, const int32_t *mean, const int32_t *scale,
                  const int32_t *symbol, int more, int bound, int edges, int count, int32_t *const *out);

    /* centre and index, which hold sums, += the products of a symbol and its size with weights: {of symbols, of sizes} for each. */
    void (*see)(const int16_t *symbol, const int16_t *size, const int32_t *of_centre, const int32_t *of_index, int count,
                int32_t *centre, int32_t *index);

    /* centre[k] = clip(mean[k] + (centre[k] >> shift), -largest, largest), and index[k] = clip((scale[k] + (index[k] >> shift) + 8) >> 4,
       0, last). symbol[k] = centre[k] rounded to a symbol of at most bound. */
    void (*resolve)(const int64_t *mean, const int32_t *scale, int shift, int32_t largest, int32_t last, int bound, int count,
                    int32_t *centre, int32_t *index, int32_t *symbol);

    /* Of the kind grey, for pixels. out[o] = the sum of MNZ_ROWS rows; count is a multiple of 16. */
    void (*sum_rows)(const int32_t *const *rows, int count, int32_t *out);

    /* out[k] = clip(((levels[k] - prediction) * factor + 128) >> 8, -1023, 1023), and 0 where levels[k] is negative. factor is at most
       2^18; levels are at most 255. */
    void (*magnify)(const int16_t *levels, int32_t prediction, int32_t factor, int count, int16_t *out);

    /* Of the kind bitmap. out[o] = one[o] + other[o] + some rows of a table - some others; rows have 16 * blocks numbers. */
    void (*sum_signed)(const int32_t *one, const int32_t *other, const int32_t *table, const mnz_signed_rows *rows, int blocks,
                       int32_t *out);

    /* For gradients: out[k] = g[k] where low < value[k] < high, elsewhere 0. */
    void (*mask)(const float *g, const int32_t *value, int count, int32_t low, int32_t high, float *out);

    /* The largest magnitude. */
    float (*largest)(const float *g, int count);

    /* out[k] = g[k] * scale, rounded to an integer of 16 bits. */
    void (*round_scaled)(const float *g, int count, float scale, int16_t *out);

    /* out[k] = sums[k] * scale. */
    void (*scale_sums)(const int32_t *sums, int count, float scale, float *out);
} mnz_kernels;

/* The kernels of a name, or the best ones for NULL; NULL if this processor has none of that name. */
const mnz_kernels *mnz_kernels_named(const char *name);

extern const mnz_kernels mnz_kernels_scalar;
#if defined(__x86_64__) || defined(_M_X64)
#define MNZ_X86 1
extern const mnz_kernels mnz_kernels_sse2, mnz_kernels_avx2, mnz_kernels_avx512;
#elif defined(__aarch64__) || defined(_M_ARM64)
#define MNZ_NEON 1
extern const mnz_kernels mnz_kernels_neon;
#elif defined(__wasm_simd128__)
#define MNZ_WASM 1
extern const mnz_kernels mnz_kernels_wasm;
#endif

#endif
