/*
 * The one source of all kernels. The file that includes it defines, for its instructions:
 *
 *     KERNELS                  the name of the table, and INSTRUCTIONS, its name as text
 *     vec, LANES               a vector of LANES sums of 32 bits, or of as many pairs of weights
 *     PLACES, BLOCKS           how many places and blocks are computed together: what fits the registers
 *     BLOCKS_OF_FEW            how many blocks of one place, twice as many as of two places
 *     LEFT                     how many blocks of several places are computed together if that leaves none: BLOCKS + 1, or 1
 *     PLACES_OF_ONE            how many places of a matrix of one block, PLACES at least
 *     COLUMNS                  how many columns of two rows of a convolution of channels by themselves: 1, 2, 4 or 8
 *     zero(), load(p), store(p, v)
 *     pair_of(x)               the two int16 at x, in every lane
 *     multiply_add(sum, w, x)  sum + the products of the pairs in w and x, for many sums at once
 *     add_products(sum, w, x)  the same, for few sums: with less latency
 *     plus(a, b), minus(a, b)  the sum and the difference of each lane
 *     SIGNED_BLOCKS            how many blocks of a sum of rows fit the registers
 *     gather(table, i)         table[i] of each lane, if there is GATHER
 */
#include <string.h>

#if defined(_MSC_VER) && !defined(__clang__)
#define ALWAYS_INLINE static __forceinline
#else
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#endif

enum { VECTORS = MNZ_BLOCK / LANES, WEIGHTS_OF_PAIR = 2 * MNZ_BLOCK, SPARSE_BLOCKS = 4 };

/* Where the runs of a place begin, and what is added to the products: 0 where `first` is NULL. */
typedef struct {
    const ptrdiff_t *start; /* of each run; NULL if they are run_stride numbers apart */
    ptrdiff_t run_stride;
    const int32_t *first;
    ptrdiff_t first_stride;
} layout;

/* Some places and blocks, whose sums stay in registers. places and blocks are constants where it is called. */
ALWAYS_INLINE void multiply(const int16_t *x, const int32_t *offset, const int places, const layout at, const mnz_matrix *matrix,
                            int block, const int blocks, int32_t *sums)
{
    const ptrdiff_t pairs = matrix->pairs, block_size = (ptrdiff_t)matrix->runs * pairs * WEIGHTS_OF_PAIR;
    const int16_t *weights = matrix->narrow + block * block_size;
    const ptrdiff_t stride = (ptrdiff_t)MNZ_BLOCK * matrix->blocks;
    vec sum[PLACES_OF_ONE][BLOCKS_OF_FEW * VECTORS];
    for (int p = 0; p < places; p++)
        for (int v = 0; v < blocks * VECTORS; v++)
            sum[p][v] = at.first ? load(at.first + p * at.first_stride + block * MNZ_BLOCK + v * LANES) : zero();
    for (int run = 0; run < matrix->runs; run++) {
        const int16_t *input[PLACES_OF_ONE];
        for (int p = 0; p < places; p++) input[p] = x + offset[p] + (at.start ? at.start[run] : run * at.run_stride);
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
ALWAYS_INLINE void multiply_all(const int16_t *x, const int32_t *offset, const int places, const int together, const layout at,
                                const mnz_matrix *matrix, int32_t *sums)
{
    const int left = together == BLOCKS && LEFT > BLOCKS && matrix->blocks >= LEFT && matrix->blocks % BLOCKS ? LEFT : 0;
    int block = 0;
    for (; block + together <= matrix->blocks - left; block += together)
        multiply(x, offset, places, at, matrix, block, together, sums);
    if (left) {
        multiply(x, offset, places, at, matrix, block, LEFT, sums);
        return;
    }
    if (together > 2)
        for (; block + 2 <= matrix->blocks; block += 2) multiply(x, offset, places, at, matrix, block, 2, sums);
    if (together > 1)
        for (; block < matrix->blocks; block++) multiply(x, offset, places, at, matrix, block, 1, sums);
}

/* All places. */
ALWAYS_INLINE void multiply_places(const int16_t *x, const int32_t *offset, int places, layout at, const mnz_matrix *matrix,
                                   int32_t *sums)
{
    const ptrdiff_t stride = (ptrdiff_t)MNZ_BLOCK * matrix->blocks;
#if PLACES_OF_ONE > PLACES
    for (; matrix->blocks == 1 && places >= PLACES_OF_ONE;
         places -= PLACES_OF_ONE, offset += PLACES_OF_ONE, sums += PLACES_OF_ONE * stride) {
        multiply(x, offset, PLACES_OF_ONE, at, matrix, 0, 1, sums);
        if (at.first) at.first += PLACES_OF_ONE * at.first_stride;
    }
#endif
    for (; places >= PLACES; places -= PLACES, offset += PLACES, sums += PLACES * stride) {
        multiply_all(x, offset, PLACES, BLOCKS, at, matrix, sums);
        if (at.first) at.first += PLACES * at.first_stride;
    }
    switch (places) { /* the rest */
#if PLACES > 6
    case 6: multiply_all(x, offset, 6, BLOCKS, at, matrix, sums); break;
#endif
#if PLACES > 5
    case 5: multiply_all(x, offset, 5, BLOCKS, at, matrix, sums); break;
#endif
#if PLACES > 4
    case 4: multiply_all(x, offset, 4, BLOCKS, at, matrix, sums); break;
#endif
#if PLACES > 3
    case 3: multiply_all(x, offset, 3, BLOCKS, at, matrix, sums); break;
#endif
#if PLACES > 2
    case 2: multiply_all(x, offset, 2, BLOCKS_OF_FEW / 2, at, matrix, sums); break;
#endif
    case 1: multiply_all(x, offset, 1, BLOCKS_OF_FEW, at, matrix, sums); break;
    default: break;
    }
}

static void products(const int16_t *x, const int32_t *offset, int places, ptrdiff_t run_stride, const mnz_matrix *matrix,
                     int32_t *sums)
{
    multiply_places(x, offset, places, (layout){NULL, run_stride, NULL, 0}, matrix, sums);
}

static void products_at(const int16_t *x, const int32_t *offset, int places, const ptrdiff_t *start, const mnz_matrix *matrix,
                        const int32_t *first, ptrdiff_t first_stride, int32_t *sums)
{
    multiply_places(x, offset, places, (layout){start, 0, first, first_stride}, matrix, sums);
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

static void pair_rows(const int16_t *restrict upper, const int16_t *restrict lower, int count, int16_t *restrict out)
{
    for (int k = 0; k < count; k++) {
        out[2 * k] = upper[k];
        out[2 * k + 1] = lower[k];
    }
}

/* Some columns and a block of channels, whose sums stay in registers. columns is a constant where it is called. */
ALWAYS_INLINE void depthwise_columns(const int16_t *const *rows, int kernel, int channels, const int16_t *weights, int column,
                                     const int columns, const int32_t *first, int32_t *upper, int32_t *lower)
{
    vec sum[2][COLUMNS][VECTORS];
    for (int c = 0; c < columns; c++)
        for (int v = 0; v < VECTORS; v++) sum[0][c][v] = sum[1][c][v] = load(first + v * LANES);
    for (int r = 0; r < (kernel + 1) / 2; r++) {
        const int16_t *x = rows[r] + (ptrdiff_t)2 * column * channels;
        for (int k = 0; k < kernel; k++, weights += 2 * WEIGHTS_OF_PAIR)
            for (int v = 0; v < VECTORS; v++) {
                const vec of_upper = load(weights + v * 2 * LANES), of_lower = load(weights + WEIGHTS_OF_PAIR + v * 2 * LANES);
                for (int c = 0; c < columns; c++) {
                    const vec both = load(x + (ptrdiff_t)2 * (c + k) * channels + v * 2 * LANES);
                    sum[0][c][v] = multiply_add(sum[0][c][v], of_upper, both);
                    sum[1][c][v] = multiply_add(sum[1][c][v], of_lower, both);
                }
            }
    }
    for (int c = 0; c < columns; c++)
        for (int v = 0; v < VECTORS; v++) {
            store(upper + (ptrdiff_t)(column + c) * channels + v * LANES, sum[0][c][v]);
            store(lower + (ptrdiff_t)(column + c) * channels + v * LANES, sum[1][c][v]);
        }
}

static void depthwise(const int16_t *const *rows, int kernel, int channels, const int16_t *weights, int columns,
                      const int32_t *first, int32_t *sums)
{
    const ptrdiff_t block_size = (ptrdiff_t)(kernel + 1) / 2 * kernel * 2 * WEIGHTS_OF_PAIR;
    const int16_t *at[4];
    for (int block = 0; block < channels / MNZ_BLOCK; block++, weights += block_size) {
        const ptrdiff_t channel = (ptrdiff_t)block * MNZ_BLOCK;
        int32_t *const upper = sums + channel, *const lower = upper + (ptrdiff_t)columns * channels;
        int column = 0;
        for (int r = 0; r < (kernel + 1) / 2; r++) at[r] = rows[r] + 2 * channel;
        for (; column + COLUMNS <= columns; column += COLUMNS)
            depthwise_columns(at, kernel, channels, weights, column, COLUMNS, first + channel, upper, lower);
#if COLUMNS > 4
        for (; column + 4 <= columns; column += 4)
            depthwise_columns(at, kernel, channels, weights, column, 4, first + channel, upper, lower);
#endif
#if COLUMNS > 2
        for (; column + 2 <= columns; column += 2)
            depthwise_columns(at, kernel, channels, weights, column, 2, first + channel, upper, lower);
#endif
#if COLUMNS > 1
        if (column < columns) depthwise_columns(at, kernel, channels, weights, column, 1, first + channel, upper, lower);
#endif
    }
}

static void settle(const int32_t *restrict sums, ptrdiff_t stride, int places, const int32_t *restrict shift, int count, int32_t low,
                   int32_t high, int16_t *restrict out)
{
    for (int place = 0; place < places; place++, sums += stride, out += count)
        for (int o = 0; o < count; o++) {
            int32_t value = sums[o] >> shift[o];
            value = value < low ? low : value;
            out[o] = (int16_t)(value > high ? high : value);
        }
}

static void settle_wide(const int32_t *restrict sums, ptrdiff_t stride, int places, const int32_t *restrict shift, int count,
                        int32_t low, int32_t high, int32_t *restrict out)
{
    for (int place = 0; place < places; place++, sums += stride, out += count)
        for (int o = 0; o < count; o++) {
            int32_t value = sums[o] >> shift[o];
            value = value < low ? low : value;
            out[o] = value > high ? high : value;
        }
}

static void gain_narrow(const int16_t *x, const int32_t *restrict factor, int places, int channels, int32_t low, int32_t high,
                        int16_t *out)
{
    for (int place = 0; place < places; place++, x += channels, out += channels)
        for (int c = 0; c < channels; c++) {
            int32_t value = (x[c] * factor[c] + 128) >> 8;
            value = value < low ? low : value;
            out[c] = (int16_t)(value > high ? high : value);
        }
}

static void add_narrow(const int16_t *restrict x, const int16_t *restrict change, int count, int32_t low, int32_t high,
                       int16_t *restrict out)
{
    for (int k = 0; k < count; k++) {
        int32_t value = x[k] + change[k];
        value = value < low ? low : value;
        out[k] = (int16_t)(value > high ? high : value);
    }
}

enum { EDGES_TOGETHER = 64, FEW = 6 }; /* positions; few of them are faster one by one */
#ifdef GATHER
enum { ROW = LANES };
#else
enum { ROW = 1 };
#endif

/* out[k] = table[index[k]]; count is a multiple of ROW, so that vectors are whole. */
static void look_up(const int32_t *restrict table, const int32_t *restrict index, int count, int32_t *restrict out)
{
#ifdef GATHER
    for (int k = 0; k < count; k += LANES) store(out + k, gather(table, load(index + k)));
#else
    for (int k = 0; k < count; k++) out[k] = table[index[k]];
#endif
}

/* A row of positions and one edge. distance: from the mean to the lower end of a symbol, in 512ths of a symbol. */
static void edges_below(const int32_t *restrict cumulative, const int32_t *restrict inverse, const int32_t *restrict symbol,
                        const int32_t *restrict distance, int more, int bound, int count, int32_t *restrict out)
{
    int32_t at[EDGES_TOGETHER], segment[EDGES_TOGETHER] = {0}, low[EDGES_TOGETHER], high[EDGES_TOGETHER];
    for (int k = 0; k < count; k++) {
        /* (d * inverse) >> 13, where inverse has 22 bits */
        const int32_t d = distance[k] + more * 512;
        int32_t unit = d * (inverse[k] >> 13) + ((d * (inverse[k] & 8191)) >> 13);
        unit = unit < -65536 ? -65536 : unit;
        at[k] = (unit > 65535 ? 65535 : unit) + 65536;
        segment[k] = at[k] >> 7;
    }
    look_up(cumulative, segment, count, low);
    look_up(cumulative + 1, segment, count, high);
    for (int k = 0; k < count; k++) {
        /* (share * (2^16 - values)) >> 23, where share has 23 bits */
        const int32_t s = symbol[k] + more, share = low[k] * 128 + (high[k] - low[k]) * (at[k] & 127);
        int32_t edge = (share >> 7) + (((share & 127) * 65536 - share * (2 * bound + 1)) >> 23) + s + bound;
        edge = s > bound ? 65536 : edge;
        out[k] = s <= -bound ? 0 : edge;
    }
}

/* The same for one position. */
static int32_t edge_below(const int32_t *cumulative, int64_t inverse, int32_t symbol, int32_t distance, int bound)
{
    int64_t unit = (distance * inverse) >> 13;
    unit = unit < -65536 ? -65536 : unit;
    const int32_t at = (int32_t)(unit > 65535 ? 65535 : unit) + 65536, *segment = cumulative + (at >> 7);
    const int64_t share = segment[0] * 128 + (segment[1] - segment[0]) * (at & 127);
    const int32_t edge = (int32_t)((share * (65535 - 2 * bound)) >> 23) + symbol + bound;
    return symbol <= -bound ? 0 : symbol > bound ? 65536 : edge;
}

static void edges(const int32_t *cumulative, const int32_t *inverse_scale, const int32_t *mean, const int32_t *scale,
                  const int32_t *symbol, int more, int bound, int edges, int count, int32_t *const *out)
{
    int32_t scales[EDGES_TOGETHER], inverse[EDGES_TOGETHER], symbols[EDGES_TOGETHER], distance[EDGES_TOGETHER], edge[EDGES_TOGETHER];
    for (int k = 0; k < count && count < FEW; k++)
        for (int j = 0; j < edges; j++) {
            const int32_t s = symbol[k] + more + j;
            out[j][k] = edge_below(cumulative, inverse_scale[scale[k]], s, s * 512 - 256 - 2 * mean[k], bound);
        }
    for (int first = 0; first < count && count >= FEW; first += EDGES_TOGETHER) {
        const int some = count - first < EDGES_TOGETHER ? count - first : EDGES_TOGETHER, row = (some + ROW - 1) / ROW * ROW;
        for (int k = row - ROW; k < row; k++) scales[k] = symbols[k] = distance[k] = 0;
        memcpy(scales, scale + first, (size_t)some * sizeof *scales);
        memcpy(symbols, symbol + first, (size_t)some * sizeof *symbols);
        for (int k = 0; k < some; k++) distance[k] = symbols[k] * 512 - 256 - 2 * mean[first + k];
        look_up(inverse_scale, scales, row, inverse);
        for (int j = 0; j < edges; j++) {
            edges_below(cumulative, inverse, symbols, distance, more + j, bound, row, edge);
            memcpy(out[j] + first, edge, (size_t)some * sizeof *edge);
        }
    }
}

static void see(const int16_t *restrict symbol, const int16_t *restrict size, const int32_t *of_centre, const int32_t *of_index,
                int count, int32_t *restrict centre, int32_t *restrict index)
{
    const int32_t a = of_centre[0], b = of_centre[1], c = of_index[0], d = of_index[1];
    for (int k = 0; k < count; k++) {
        centre[k] += symbol[k] * a + size[k] * b;
        index[k] += symbol[k] * c + size[k] * d;
    }
}

static void resolve(const int64_t *restrict mean, const int32_t *restrict scale, int shift, int32_t most, int32_t last, int bound,
                    int count, int32_t *restrict centre, int32_t *restrict index, int32_t *restrict symbol)
{
    for (int k = 0; k < count; k++) {
        int32_t m = (int32_t)mean[k] + (centre[k] >> shift), i = (scale[k] + (index[k] >> shift) + 8) >> 4;
        m = m < -most ? -most : m;
        m = m > most ? most : m;
        i = i < 0 ? 0 : i;
        int32_t s = (m + 128) >> 8;
        s = s < -bound ? -bound : s;
        centre[k] = m;
        index[k] = i > last ? last : i;
        symbol[k] = s > bound ? bound : s;
    }
}

static void sum_rows(const int32_t *const *rows, int count, int32_t *restrict out)
{
    const int32_t *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3], *e = rows[4], *f = rows[5];
    for (int o = 0; o < count; o++) out[o] = a[o] + b[o] + c[o] + d[o] + e[o] + f[o];
}

static void magnify(const int16_t *restrict levels, int32_t prediction, int32_t factor, int count, int16_t *restrict out)
{
    for (int k = 0; k < count; k++) {
        int32_t value = ((levels[k] - prediction) * factor + 128) >> 8;
        value = value < -1023 ? -1023 : value;
        value = value > 1023 ? 1023 : value;
        out[k] = (int16_t)(levels[k] < 0 ? 0 : value);
    }
}

/* Some blocks of the rows, whose sums stay in registers. blocks is a constant where it is called. */
ALWAYS_INLINE void sum_some(const int32_t *one, const int32_t *other, const int32_t *table, const mnz_signed_rows *rows, ptrdiff_t stride,
                            const int blocks, int32_t *out)
{
    vec sum[SIGNED_BLOCKS * VECTORS];
    for (int v = 0; v < blocks * VECTORS; v++) sum[v] = plus(load(one + v * LANES), load(other + v * LANES));
    for (int k = 0; k < rows->added; k++) {
        const int32_t *row = table + rows->add[k] * stride;
        for (int v = 0; v < blocks * VECTORS; v++) sum[v] = plus(sum[v], load(row + v * LANES));
    }
    for (int k = 0; k < rows->subtracted; k++) {
        const int32_t *row = table + rows->subtract[k] * stride;
        for (int v = 0; v < blocks * VECTORS; v++) sum[v] = minus(sum[v], load(row + v * LANES));
    }
    for (int v = 0; v < blocks * VECTORS; v++) store(out + v * LANES, sum[v]);
}

static void sum_signed(const int32_t *one, const int32_t *other, const int32_t *table, const mnz_signed_rows *rows, int blocks,
                       int32_t *out)
{
    const ptrdiff_t stride = (ptrdiff_t)MNZ_BLOCK * blocks;
    ptrdiff_t at = 0;
    for (; blocks >= SIGNED_BLOCKS; blocks -= SIGNED_BLOCKS, at += SIGNED_BLOCKS * MNZ_BLOCK)
        sum_some(one + at, other + at, table + at, rows, stride, SIGNED_BLOCKS, out + at);
    for (; blocks; blocks--, at += MNZ_BLOCK) sum_some(one + at, other + at, table + at, rows, stride, 1, out + at);
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
        float moved = (float)(g[k] * scale) + 12582912.0f;
        out[k] = (int16_t)(int32_t)(moved - 12582912.0f);
    }
}

static void scale_sums(const int32_t *restrict sums, int count, float scale, float *restrict out)
{
    for (int k = 0; k < count; k++) out[k] = (float)sums[k] * scale;
}

const mnz_kernels KERNELS = {
    INSTRUCTIONS, products,  products_at, sparse_products, accumulate,  requantize, weigh,      gain,      add,        narrow,
    pair_rows,    depthwise, settle,      settle_wide,     gain_narrow, add_narrow, edges,      see,       resolve,    sum_rows,
    magnify,      sum_signed, mask,       largest,     round_scaled,    scale_sums,
};
