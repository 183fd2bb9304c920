/* The choice of kernels by what the processor can do. */
#include "kernels.h"

#include <string.h>

#if defined(MNZ_X86) && defined(_MSC_VER)
#include <intrin.h>
#endif

#ifdef MNZ_X86
enum { AVX2 = 1, AVX512 = 2 };

/* The kinds of instructions that processor and operating system support. */
static int supported(void)
{
#if defined(_MSC_VER) && !defined(__clang__)
    int first[4], seventh[4], found = 0;
    __cpuid(first, 1);
    if (!(first[2] >> 27 & 1)) return 0; /* OSXSAVE */
    unsigned long long saved = _xgetbv(0);
    __cpuidex(seventh, 7, 0);
    if ((saved & 6) == 6 && (seventh[1] >> 5 & 1)) found |= AVX2;
    int all = (seventh[1] >> 16 & 1) && (seventh[1] >> 30 & 1) && (seventh[1] >> 31 & 1) && (seventh[2] >> 11 & 1);
    if ((saved & 0xe6) == 0xe6 && all) found |= AVX512;
    return found;
#else
    int found = 0;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2")) found |= AVX2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vnni"))
        found |= AVX512;
    return found;
#endif
}
#endif

/* The kernels of this processor, best first; NULL behind the last. */
static const mnz_kernels *kernels_at(int index)
{
    const mnz_kernels *all[5];
    int count = 0;
#ifdef MNZ_X86
    int found = supported();
    if (found & AVX512) all[count++] = &mnz_kernels_avx512;
    if (found & AVX2) all[count++] = &mnz_kernels_avx2;
    all[count++] = &mnz_kernels_sse2;
#endif
#ifdef MNZ_NEON
    all[count++] = &mnz_kernels_neon;
#endif
#ifdef MNZ_WASM
    all[count++] = &mnz_kernels_wasm;
#endif
#ifndef MNZ_WASM /* which is for vectors or not when it is compiled */
    all[count++] = &mnz_kernels_scalar;
#endif
    return index >= 0 && index < count ? all[index] : NULL;
}

const mnz_kernels *mnz_kernels_named(const char *name)
{
    for (int index = 0;; index++) {
        const mnz_kernels *kernels = kernels_at(index);
        if (kernels == NULL || name == NULL || strcmp(kernels->name, name) == 0) return kernels;
    }
}

const char *mnz_instructions(int index)
{
    const mnz_kernels *kernels = kernels_at(index);
    return kernels ? kernels->name : NULL;
}
