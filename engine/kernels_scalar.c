/* Kernels in plain C, for every processor. */
#include "kernels.h"

#include <string.h>

#define KERNELS mnz_kernels_scalar
#define INSTRUCTIONS "scalar"
#define LANES 1
#define PLACES 1
#define BLOCKS 1
#define BLOCKS_OF_FEW 1
#define LEFT 1
#define PLACES_OF_ONE 1
#define COLUMNS 1
#define SIGNED_BLOCKS 1

typedef union {
    int32_t sum;
    int16_t pair[2];
} vec;

static inline vec zero(void)
{
    return (vec){0};
}

static inline vec load(const void *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store(int32_t *p, vec v)
{
    *p = v.sum;
}

static inline vec plus(vec a, vec b)
{
    return (vec){.sum = a.sum + b.sum};
}

static inline vec minus(vec a, vec b)
{
    return (vec){.sum = a.sum - b.sum};
}

static inline vec pair_of(const void *x)
{
    return load(x);
}

static inline vec multiply_add(vec sum, vec w, vec x)
{
    sum.sum += (int32_t)w.pair[0] * x.pair[0] + (int32_t)w.pair[1] * x.pair[1];
    return sum;
}

#define add_products multiply_add

#include "kernels_body.h"
