/* Kernels for AVX-512 with VNNI, whose vpdpwssd multiplies pairs of 16 bits and adds them to sums of 32. */
#include "kernels.h"

#ifdef MNZ_X86
#include <immintrin.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512vnni")
#endif

#define KERNELS mnz_kernels_avx512
#define INSTRUCTIONS "avx512"
#define LANES 16
#define PLACES 7
#define BLOCKS 2
#define BLOCKS_OF_FEW 8
#define LEFT 3
#define PLACES_OF_ONE 14
#define GATHER
#define COLUMNS 8
#define SIGNED_BLOCKS 6

typedef __m512i vec;

static inline vec zero(void)
{
    return _mm512_setzero_si512();
}

static inline vec load(const void *p)
{
    return _mm512_loadu_si512(p);
}

static inline void store(int32_t *p, vec v)
{
    _mm512_storeu_si512(p, v);
}

static inline vec plus(vec a, vec b)
{
    return _mm512_add_epi32(a, b);
}

static inline vec minus(vec a, vec b)
{
    return _mm512_sub_epi32(a, b);
}

static inline vec pair_of(const void *x)
{
    int32_t both;
    memcpy(&both, x, sizeof both);
    return _mm512_set1_epi32(both);
}

static inline vec multiply_add(vec sum, vec w, vec x)
{
    return _mm512_dpwssd_epi32(sum, w, x);
}

static inline vec add_products(vec sum, vec w, vec x)
{
    return _mm512_add_epi32(sum, _mm512_madd_epi16(w, x));
}

static inline vec gather(const int32_t *table, vec i)
{
    return _mm512_i32gather_epi32(i, table, 4);
}

#include "kernels_body.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int mnz_no_avx512; /* a file of C must not be empty */
#endif
