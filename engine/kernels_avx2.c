/* Kernels for AVX2. */
#include "kernels.h"

#ifdef MNZ_X86
#include <immintrin.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC target("avx2")
#endif

#define KERNELS mnz_kernels_avx2
#define INSTRUCTIONS "avx2"
#define LANES 8
#define PLACES 6
#define BLOCKS 1
#define BLOCKS_OF_FEW 4
#define LEFT 1
#define PLACES_OF_ONE 6
#define GATHER
#define COLUMNS 2
#define SIGNED_BLOCKS 6

typedef __m256i vec;

static inline vec zero(void)
{
    return _mm256_setzero_si256();
}

static inline vec load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

static inline void store(int32_t *p, vec v)
{
    _mm256_storeu_si256((__m256i *)p, v);
}

static inline vec plus(vec a, vec b)
{
    return _mm256_add_epi32(a, b);
}

static inline vec minus(vec a, vec b)
{
    return _mm256_sub_epi32(a, b);
}

static inline vec pair_of(const void *x)
{
    int32_t both;
    memcpy(&both, x, sizeof both);
    return _mm256_set1_epi32(both);
}

static inline vec multiply_add(vec sum, vec w, vec x)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(w, x));
}

#define add_products multiply_add

static inline vec gather(const int32_t *table, vec i)
{
    return _mm256_i32gather_epi32(table, i, 4);
}

#include "kernels_body.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
typedef int mnz_no_avx2; /* a file of C must not be empty */
#endif
