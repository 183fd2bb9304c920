/*
 * The one source of all kernels. The file that includes it defines, for its instructions:
 *
 *     KERNELS                  the name of the table, and INSTRUCTIONS, its name as text
 *     vec, LANES               a vector of LANES sums of 32 bits, or of as many pairs of weights
 *     PLACES                   how many places are computed together, and BLOCKS, how many blocks: what fits the registers
 *     zero(), load(p), store(p, v)
 *     pair_of(x)               the two int16 at x, in every lane
 *     multiply_add(sum, w, x)  sum + the products of the pairs in w and x
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
    vec sum[PLACES][BLOCKS * VECTORS];
    for (int p = 0; p < places; p++)
        for (int v = 0; v < blocks * VECTORS; v++) sum[p][v] = zero();
    for (int run = 0; run < matrix->runs; run++) {
        const int16_t *input[PLACES];
        for (int p = 0; p < places; p++) input[p] = x + offset[p] + run * run_stride;
        for (ptrdiff_t pair = 0; pair < pairs; pair++) {
            vec w[BLOCKS * VECTORS];
            for (int b = 0; b < blocks; b++)
                for (int v = 0; v < VECTORS; v++) w[b * VECTORS + v] = load(weights + b * block_size + v * 2 * LANES);
            for (int p = 0; p < places; p++) {
                vec both = pair_of(input[p] + 2 * pair);
                for (int v = 0; v < blocks * VECTORS; v++) sum[p][v] = multiply_add(sum[p][v], w[v], both);
            }
            weights += WEIGHTS_OF_PAIR;
        }
    }
    for (int p = 0; p < places; p++)
        for (int v = 0; v < blocks * VECTORS; v++) store(sums + p * stride + block * MNZ_BLOCK + v * LANES, sum[p][v]);
}

/* The blocks of some places. */
ALWAYS_INLINE void multiply_blocks(const int16_t *x, const int32_t *offset, const int places, ptrdiff_t run_stride,
                                   const mnz_matrix *matrix, int32_t *sums)
{
    int block = 0;
    for (; block + BLOCKS <= matrix->blocks; block += BLOCKS)
        multiply(x, offset, places, run_stride, matrix, block, BLOCKS, sums);
#if BLOCKS > 1
    for (; block < matrix->blocks; block++) multiply(x, offset, places, run_stride, matrix, block, 1, sums);
#endif
}

static void products(const int16_t *x, const int32_t *offset, int places, ptrdiff_t run_stride, const mnz_matrix *matrix,
                     int32_t *sums)
{
    const ptrdiff_t stride = (ptrdiff_t)MNZ_BLOCK * matrix->blocks;
    for (; places >= PLACES; places -= PLACES, offset += PLACES, sums += PLACES * stride)
        multiply_blocks(x, offset, PLACES, run_stride, matrix, sums);
    switch (places) {
#if PLACES > 6
    case 6: multiply_blocks(x, offset, 6, run_stride, matrix, sums); break;
#endif
#if PLACES > 5
    case 5: multiply_blocks(x, offset, 5, run_stride, matrix, sums); break;
#endif
#if PLACES > 4
    case 4: multiply_blocks(x, offset, 4, run_stride, matrix, sums); break;
#endif
#if PLACES > 3
    case 3: multiply_blocks(x, offset, 3, run_stride, matrix, sums); break;
#endif
#if PLACES > 2
    case 2: multiply_blocks(x, offset, 2, run_stride, matrix, sums); break;
#endif
    case 1: multiply_blocks(x, offset, 1, run_stride, matrix, sums); break;
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
                sum[b * VECTORS + v] = multiply_add(sum[b * VECTORS + v], load(w + b * block_size + v * 2 * LANES), both);
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

static void requantize(const int32_t *restrict sums, const int32_t *restrict bias, const int32_t *restrict more,
                       const int32_t *restrict shift, int count, int32_t low, int32_t high, int32_t *restrict out)
{
    for (int o = 0; o < count; o++) {
        int32_t value = (sums[o] + bias[o] + more[o]) >> shift[o];
        value = value < low ? low : value;
        out[o] = value > high ? high : value;
    }
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

const mnz_kernels KERNELS = {INSTRUCTIONS, products, sparse_products, requantize, gain};
