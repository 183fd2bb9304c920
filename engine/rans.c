/* FORMAT.md, sections 3.1 and 3.2 (steps 4 and 5): logits to frequencies, and frequencies to bytes and back. */
#include "engine.h"

#include <string.h>

/* ---- Frequencies ---- */

static uint64_t sum_below(const mnz_cdf *cdf, int value)
{
    uint64_t sum = 0;
    for (int v = 0; v < value; v++) sum += cdf->weight[v];
    return sum;
}

/* edge_k of section 3.2, given the sum of the weights below k. Sums are below 2^43, so the products fit. */
static uint32_t edge(const mnz_cdf *cdf, int k, uint64_t sum)
{
    return (uint32_t)k + (uint32_t)(sum * (uint64_t)(MNZ_TOTAL - cdf->values) / cdf->total);
}

mnz_interval mnz_interval_of(const mnz_cdf *cdf, int value)
{
    uint64_t below = sum_below(cdf, value);
    uint32_t start = edge(cdf, value, below);
    return (mnz_interval){start, edge(cdf, value + 1, below + cdf->weight[value]) - start};
}

int mnz_most_probable(const mnz_cdf *cdf)
{
    int best = 0;
    uint32_t largest = 0, start = 0;
    uint64_t sum = 0;
    for (int v = 0; v < cdf->values; v++) {
        sum += cdf->weight[v];
        uint32_t end = edge(cdf, v + 1, sum);
        if (end - start > largest) largest = end - start, best = v;
        start = end;
    }
    return best;
}

/* The value whose interval holds a slot: the first k with edge_(k+1) > slot. */
static int value_at(const mnz_cdf *cdf, uint32_t slot)
{
    const uint64_t total = cdf->total, scale = (uint64_t)(MNZ_TOTAL - cdf->values), limit = (slot + (uint64_t)1) * total;
    uint64_t sum = 0;
    int k = 0;
    while ((sum += cdf->weight[k] * scale + total) < limit) k++;
    return k;
}

/* ---- States below 2^16, of which bare streams may have some: the slots of each symbol are spread evenly ---- */

static uint32_t reversed(uint32_t slot)
{
    uint32_t out = 0;
    for (int k = 0; k < MNZ_TOTAL_BITS; k++) out = out << 1 | (slot >> k & 1);
    return out;
}

/* How many of start ... start + freq - 1 have this pattern of low bits. */
static uint32_t with_low_bits(uint32_t pattern, int bits, mnz_interval interval)
{
    int64_t first = (int64_t)interval.start - pattern - 1;
    return (uint32_t)(((first + interval.freq) >> bits) - (first >> bits));
}

/* How many of the reversed slots of an interval are smaller than a slot. */
static uint32_t slots_below(uint32_t slot, mnz_interval interval)
{
    uint32_t count = 0, prefix = 0;
    for (int k = 0; k < MNZ_TOTAL_BITS; k++) {
        uint32_t bit = slot >> (MNZ_TOTAL_BITS - 1 - k) & 1;
        if (bit) count += with_low_bits(prefix, k + 1, interval);
        prefix |= bit << k;
    }
    return count;
}

/* The n-th smallest of the reversed slots of an interval, counted from 0. */
static uint32_t nth_slot(uint32_t n, mnz_interval interval)
{
    uint32_t slot = 0, prefix = 0;
    for (int k = 0; k < MNZ_TOTAL_BITS; k++) {
        uint32_t zeros = with_low_bits(prefix, k + 1, interval);
        uint32_t bit = n >= zeros;
        if (bit) n -= zeros;
        prefix |= bit << k;
        slot = slot << 1 | bit;
    }
    return slot;
}

/* ---- The coder ---- */

mnz_status mnz_decoder_begin(mnz_decoder *decoder, const uint8_t *stream, size_t size)
{
    if (size == 0 || stream[0] == 0) return MNZ_ERROR_STREAM;
    size_t first = stream[0] >= 128 ? 3 : 4;
    if (first > size) first = size;
    decoder->x = 0;
    for (size_t k = 0; k < first; k++) decoder->x = decoder->x << 8 | stream[k];
    decoder->at = stream + first;
    decoder->end = stream + size;
    return MNZ_OK;
}

uint32_t mnz_spread_slot(uint32_t x)
{
    return reversed(x);
}

uint32_t mnz_spread_after(uint32_t x, mnz_interval interval)
{
    return slots_below(x, interval);
}

int mnz_decode_symbol(mnz_decoder *decoder, const mnz_cdf *cdf)
{
    int value = value_at(cdf, mnz_slot(decoder));
    mnz_advance(decoder, mnz_interval_of(cdf, value));
    return value;
}

mnz_final mnz_decoder_end(const mnz_decoder *decoder)
{
    return (mnz_final){decoder->x, (uint32_t)(decoder->end - decoder->at)};
}

int mnz_check_passed(mnz_final final, uint32_t check, int check_bits)
{
    int bits = -1;
    for (uint32_t x = final.state; x; x >>= 1) bits++;
    if (final.bytes_left || bits < check_bits || bits > MNZ_CHECK_BITS_MAX) return 0;
    uint32_t one = (uint32_t)1 << bits;
    return final.state == (one | (check & (one - 1)));
}

size_t mnz_stream_bound(size_t symbols)
{
    return 2 * symbols + 4;
}

/* Code from a first state on. The bytes end at out + capacity; returns where they begin. */
static uint8_t *encode(const uint16_t *start, const uint16_t *freq_less_one, size_t symbols, uint32_t x, uint8_t *out,
                       size_t capacity)
{
    uint8_t *at = out + capacity;
    for (size_t k = symbols; k-- > 0;) {
        mnz_interval interval = {start[k], (uint32_t)freq_less_one[k] + 1};
        while (x >= (uint64_t)interval.freq << 15) {
            *--at = (uint8_t)x;
            x >>= 8;
        }
        uint32_t quotient = x / interval.freq;
        x = quotient ? (quotient << MNZ_TOTAL_BITS) + x % interval.freq + interval.start : nth_slot(x, interval);
    }
    for (; x; x >>= 8) *--at = (uint8_t)x;
    return at;
}

static uint32_t first_state(uint32_t check, int bits)
{
    uint32_t one = (uint32_t)1 << bits;
    return one | (check & (one - 1));
}

mnz_status mnz_encode_intervals(const uint16_t *start, const uint16_t *freq_less_one, size_t symbols, uint32_t check,
                                int check_bits, uint8_t *out, size_t capacity, size_t *out_size)
{
    if (check_bits < 0 || check_bits > MNZ_CHECK_BITS_MAX) return MNZ_ERROR_ARGUMENT;
    if (capacity < mnz_stream_bound(symbols)) return MNZ_ERROR_OUTPUT;
    uint8_t *end = out + capacity, *at = encode(start, freq_less_one, symbols, first_state(check, check_bits), out, capacity);
    size_t size = (size_t)(end - at);
    /* The check takes the bits that rounding up to whole bytes would waste. How many these are is an estimate. */
    int spare = 8;
    for (uint8_t first = *at; first; first >>= 1) spare--;
    if (spare > MNZ_CHECK_BITS_MAX - check_bits) spare = MNZ_CHECK_BITS_MAX - check_bits;
    for (; spare; spare--) {
        at = encode(start, freq_less_one, symbols, first_state(check, check_bits + spare), out, capacity);
        if ((size_t)(end - at) == size) break;
    }
    if (!spare) at = encode(start, freq_less_one, symbols, first_state(check, check_bits), out, capacity);
    memmove(out, at, size);
    *out_size = size;
    return MNZ_OK;
}
