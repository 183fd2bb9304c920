/*
 * The one source of all kernels. The file that includes it defines, for its instructions:
 *
 *     KERNELS                  the name of the table, and INSTRUCTIONS, its name as text
 *     vec, LANES               a vector of LANES sums of 32 bits, or of as many pairs of weights
 *     PLACES, BLOCKS           how many places and blocks are computed together: what fits the registers
 *     BLOCKS_OF_FEW            how many blocks of one place, twice as many as of two places
 *     zero(), load(p), store(p, v)
 *     pair_of(x)               the two int16 at x, in every lane
 *     multiply_add(sum, w, x)  sum + the products of the pairs in w and x, for many sums at once
 *     add_products(sum, w, x)  the same, for few sums: with less latency
 */
#include <string.h>

#if defined(_MSC_VER) && !defined(__clang__)
#define ALWAYS_INLINE static __forceinline
#else
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#endif

enum { VECTORS = MNZ_BLOCK / LANES, WEIGHTS_OF_PAIR = 2 * MNZ_BLOCK, SPARSE_BLOCKS = 4 };

/* Some places and blocks, whose sums stay in registers. places and blocks are constants where it is called. */
ALWAYS_INLINE void multiply(const int16_t *x, const int32_t *offset, const int places, ptrdiff_t run_stride,
                            const mnz_matrix *matrix, int block, const int blocks, int32_t *sums)
{
    const ptrdiff_t pairs = matrix->pairs, block_size = (ptrdiff_t)matrix->runs * pairs * WEIGHTS_OF_PAIR;
    const int16_t *weights = matrix->narrow + block * block_size;
    const ptrdiff_t stride = (ptrdiff_t)MNZ_BLOCK * matrix->blocks;
    vec sum[PLACES][BLOCKS_OF_FEW * VECTORS];
    for (int p = 0; p < places; p++)
        for (int v = 0; v < blocks * VECTORS; v++) sum[p][v] = zero();
    for (int run = 0; run < matrix->runs; run++) {
        const int16_t *input[PLACES];
        for (int p = 0; p < places; p++) input[p] = x + offset[p] + run * run_stride;
        for (ptrdiff_t pair = 0; pair < pairs; pair++) {
            vec w[BLOCKS_OF_FEW * VECTORS];
            for (int b = 0; b < blocks; b++)
                for (int v = 0; v < VECTORS; v++) w[b * VECTORS + v] = load(weights + b * block_size + v * 2 * LANES);
            for (int p = 0; p < places; p++) {
                vec both = pair_of(input[p] + 2 * pair);
                for (int v = 0; v < blocks * VECTORS; v++)
                    sum[p][v] = places > 2 ? multiply_add(sum[p][v], w[v], both) : add_products(sum[p][v], w[v], both);
            }
            weights += WEIGHTS_OF_PAIR;
        }
    }
    for (int p = 0; p < places; p++)
        for (int v = 0; v < blocks * VECTORS; v++) store(sums + p * stride + block * MNZ_BLOCK + v * LANES, sum[p][v]);
}

/* All blocks of some places. places and together, which is how many blocks are computed together, are constants. */
ALWAYS_INLINE void multiply_all(const int16_t *x, const int32_t *offset, const int places, const int together, ptrdiff_t run_stride,
                                const mnz_matrix *matrix, int32_t *sums)
{
    int block = 0;
    for (; block + together <= matrix->blocks; block += together)
        multiply(x, offset, places, run_stride, matrix, block, together, sums);
    if (together > 2)
        for (; block + 2 <= matrix->blocks; block += 2) multiply(x, offset, places, run_stride, matrix, block, 2, sums);
    if (together > 1)
        for (; block < matrix->blocks; block++) multiply(x, offset, places, run_stride, matrix, block, 1, sums);
}

static void products(const int16_t *x, const int32_t *offset, int places, ptrdiff_t run_stride, const mnz_matrix *matrix,
                     int32_t *sums)
{
    const ptrdiff_t stride = (ptrdiff_t)MNZ_BLOCK * matrix->blocks;
    for (; places >= PLACES; places -= PLACES, offset += PLACES, sums += PLACES * stride)
        multiply_all(x, offset, PLACES, BLOCKS, run_stride, matrix, sums);
    switch (places) { /* the rest */
#if PLACES > 6
    case 6: multiply_all(x, offset, 6, BLOCKS, run_stride, matrix, sums); break;
#endif
#if PLACES > 5
    case 5: multiply_all(x, offset, 5, BLOCKS, run_stride, matrix, sums); break;
#endif
#if PLACES > 4
    case 4: multiply_all(x, offset, 4, BLOCKS, run_stride, matrix, sums); break;
#endif
#if PLACES > 3
    case 3: multiply_all(x, offset, 3, BLOCKS, run_stride, matrix, sums); break;
#endif
#if PLACES > 2
    case 2: multiply_all(x, offset, 2, BLOCKS_OF_FEW / 2, run_stride, matrix, sums); break;
#endif
    case 1: multiply_all(x, offset, 1, BLOCKS_OF_FEW, run_stride, matrix, sums); break;
    default: break;
    }
}

/* Some blocks of sparse inputs; blocks is a constant where it is called. */
ALWAYS_INLINE void multiply_sparse(const mnz_sparse *x, const mnz_matrix *matrix, int block, const int blocks, int32_t *sums)
{
    const ptrdiff_t block_size = (ptrdiff_t)matrix->pairs * WEIGHTS_OF_PAIR;
    const int16_t *weights = matrix->narrow + block * block_size;
    vec sum[SPARSE_BLOCKS * VECTORS];
    sums += block * MNZ_BLOCK;
    for (int v = 0; v < blocks * VECTORS; v++) sum[v] = load(sums + v * LANES);
    for (int i = 0; i < x->count; i++) {
        const int16_t *w = weights + (ptrdiff_t)x->pair[i] * WEIGHTS_OF_PAIR;
        vec both = pair_of(x->value + i);
        for (int b = 0; b < blocks; b++)
            for (int v = 0; v < VECTORS; v++)
                sum[b * VECTORS + v] = add_products(sum[b * VECTORS + v], load(w + b * block_size + v * 2 * LANES), both);
    }
    for (int v = 0; v < blocks * VECTORS; v++) store(sums + v * LANES, sum[v]);
}

static void sparse_products(const mnz_sparse *x, const mnz_matrix *matrix, int32_t *sums)
{
    int block = 0;
    for (; block + SPARSE_BLOCKS <= matrix->blocks; block += SPARSE_BLOCKS)
        multiply_sparse(x, matrix, block, SPARSE_BLOCKS, sums);
    for (; block + 2 <= matrix->blocks; block += 2) multiply_sparse(x, matrix, block, 2, sums);
    for (; block < matrix->blocks; block++) multiply_sparse(x, matrix, block, 1, sums);
}

static void accumulate(int32_t x, const int32_t *restrict weights, int count, int32_t *restrict sums)
{
    for (int o = 0; o < count; o++) sums[o] += x * weights[o];
}

static void requantize(const int32_t *restrict sums, const int32_t *restrict bias, const int32_t *restrict more,
                       const int32_t *restrict shift, int count, int32_t low, int32_t high, int32_t *restrict out)
{
    for (int o = 0; o < count; o++) {
        int32_t value = (sums[o] + bias[o] + more[o]) >> shift[o];
        value = value < low ? low : value;
        out[o] = value > high ? high : value;
    }
}

static uint64_t weigh(const int32_t *restrict sums, const int32_t *restrict bias, const int32_t *restrict shift, int values,
                      const int32_t *restrict table, int32_t last, uint64_t *restrict weights)
{
    int32_t logit[MNZ_WEIGHED_MAX], largest = -32768;
    uint32_t total = 0;
    const int padded = (values + MNZ_BLOCK - 1) / MNZ_BLOCK * MNZ_BLOCK;
    for (int v = 0; v < padded; v++) {
        int32_t value = (sums[v] + bias[v]) >> shift[v];
        value = value < -32768 ? -32768 : value;
        logit[v] = value > 32767 ? 32767 : value;
    }
    for (int v = 0; v < padded; v++) largest = logit[v] > largest ? logit[v] : largest;
    for (int v = 0; v < padded; v++) {
        int32_t behind = largest - logit[v];
        logit[v] = behind < last ? behind : last;
    }
    for (int v = 0; v < values; v++) {
        uint32_t weight = (uint32_t)table[logit[v]];
        total += weight;
        weights[v] = weight;
    }
    for (int v = values; v < padded; v++) weights[v] = 0;
    return total;
}

static void gain(const int32_t *restrict x, const int32_t *restrict factor, int count, int32_t low, int32_t high,
                 int32_t *restrict out)
{
    for (int c = 0; c < count; c++) {
        int32_t value = (x[c] * factor[c] + 128) >> 8;
        value = value < low ? low : value;
        out[c] = value > high ? high : value;
    }
}

static void add(const int32_t *restrict x, const int32_t *restrict change, int count, int32_t low, int32_t high, int32_t *restrict out)
{
    for (int k = 0; k < count; k++) {
        int32_t value = x[k] + change[k];
        value = value < low ? low : value;
        out[k] = value > high ? high : value;
    }
}

static void narrow(const int32_t *restrict x, int count, int16_t *restrict out)
{
    for (int k = 0; k < count; k++) out[k] = (int16_t)x[k];
}

static void mask(const float *restrict g, const int32_t *restrict value, int count, int32_t low, int32_t high, float *restrict out)
{
    for (int k = 0; k < count; k++) out[k] = g[k] * (float)((value[k] > low) & (value[k] < high));
}

static float largest(const float *g, int count)
{
    int32_t most = 0; /* of positive numbers, the larger one has larger bits */
    float result;
    for (int k = 0; k < count; k++) {
        int32_t bits;
        memcpy(&bits, g + k, sizeof bits);
        bits &= INT32_MAX;
        most = bits > most ? bits : most;
    }
    memcpy(&result, &most, sizeof result);
    return result;
}

/* Adding 1.5 * 2^23 leaves no bits for a fraction: it rounds to the nearest integer, half to even. */
static void round_scaled(const float *restrict g, int count, float scale, int16_t *restrict out)
{
    for (int k = 0; k < count; k++) {
        float moved = g[k] * scale + 12582912.0f;
        out[k] = (int16_t)(int32_t)(moved - 12582912.0f);
    }
}

static void scale_sums(const int32_t *restrict sums, int count, float scale, float *restrict out)
{
    for (int k = 0; k < count; k++) out[k] = (float)sums[k] * scale;
}

const mnz_kernels KERNELS = {INSTRUCTIONS, products, sparse_products, accumulate, requantize, weigh, gain, add, narrow, mask, largest,
                             round_scaled, scale_sums};
