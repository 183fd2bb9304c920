/* Kernels for NEON, which every 64-bit ARM processor has. */
#include "kernels.h"

#ifdef MNZ_NEON
#include <arm_neon.h>
#include <string.h>

#define KERNELS mnz_kernels_neon
#define INSTRUCTIONS "neon"
#define LANES 4
#define PLACES 4
#define BLOCKS 1
#define BLOCKS_OF_FEW 4
#define LEFT 1
#define PLACES_OF_ONE 4
#define COLUMNS 2
#define SIGNED_BLOCKS 6

typedef int32x4_t vec;

static inline vec zero(void)
{
    return vdupq_n_s32(0);
}

static inline vec load(const void *p)
{
    return vld1q_s32((const int32_t *)p);
}

static inline void store(int32_t *p, vec v)
{
    vst1q_s32(p, v);
}

static inline vec plus(vec a, vec b)
{
    return vaddq_s32(a, b);
}

static inline vec minus(vec a, vec b)
{
    return vsubq_s32(a, b);
}

static inline vec pair_of(const void *x)
{
    int32_t both;
    memcpy(&both, x, sizeof both);
    return vdupq_n_s32(both);
}

/* The products of pairs are added by a pairwise addition. */
static inline vec multiply_add(vec sum, vec w, vec x)
{
    int16x8_t weights = vreinterpretq_s16_s32(w), inputs = vreinterpretq_s16_s32(x);
    int32x4_t low = vmull_s16(vget_low_s16(weights), vget_low_s16(inputs));
    int32x4_t high = vmull_high_s16(weights, inputs);
    return vaddq_s32(sum, vpaddq_s32(low, high));
}

#define add_products multiply_add

#include "kernels_body.h"
#else
typedef int mnz_no_neon; /* a file of C must not be empty */
#endif
