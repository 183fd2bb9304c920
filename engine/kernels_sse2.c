/* Kernels for SSE2, which every x86-64 processor has. */
#include "kernels.h"

#ifdef MNZ_X86
#include <emmintrin.h>
#include <string.h>

#define KERNELS mnz_kernels_sse2
#define INSTRUCTIONS "sse2"
#define LANES 4
#define PLACES 3
#define BLOCKS 1
#define BLOCKS_OF_FEW 2
#define LEFT 1
#define PLACES_OF_ONE 3
#define COLUMNS 1
#define SIGNED_BLOCKS 3

typedef __m128i vec;

static inline vec zero(void)
{
    return _mm_setzero_si128();
}

static inline vec load(const void *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

static inline void store(int32_t *p, vec v)
{
    _mm_storeu_si128((__m128i *)p, v);
}

static inline vec plus(vec a, vec b)
{
    return _mm_add_epi32(a, b);
}

static inline vec minus(vec a, vec b)
{
    return _mm_sub_epi32(a, b);
}

static inline vec pair_of(const void *x)
{
    int32_t both;
    memcpy(&both, x, sizeof both);
    return _mm_set1_epi32(both);
}

static inline vec multiply_add(vec sum, vec w, vec x)
{
    return _mm_add_epi32(sum, _mm_madd_epi16(w, x));
}

#define add_products multiply_add

#include "kernels_body.h"
#else
typedef int mnz_no_sse2; /* a file of C must not be empty */
#endif
