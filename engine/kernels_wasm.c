/* Kernels for WebAssembly with vectors of 128 bits, which all browsers have since 2023. */
#include "kernels.h"

#ifdef MNZ_WASM
#include <string.h>
#include <wasm_simd128.h>

#define KERNELS mnz_kernels_wasm
#define INSTRUCTIONS "wasm"
#define LANES 4
#define PLACES 2
#define BLOCKS 1
#define BLOCKS_OF_FEW 2
#define LEFT 1
#define PLACES_OF_ONE 2
#define COLUMNS 1
#define SIGNED_BLOCKS 3

typedef v128_t vec;

static inline vec zero(void)
{
    return wasm_i32x4_splat(0);
}

static inline vec load(const void *p)
{
    return wasm_v128_load(p);
}

static inline void store(int32_t *p, vec v)
{
    wasm_v128_store(p, v);
}

static inline vec plus(vec a, vec b)
{
    return wasm_i32x4_add(a, b);
}

static inline vec minus(vec a, vec b)
{
    return wasm_i32x4_sub(a, b);
}

static inline vec pair_of(const void *x)
{
    return wasm_v128_load32_splat(x);
}

static inline vec multiply_add(vec sum, vec w, vec x)
{
    return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(w, x));
}

#define add_products multiply_add

#include "kernels_body.h"
#else
typedef int mnz_no_wasm; /* a file of C must not be empty */
#endif
