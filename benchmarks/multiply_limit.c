/*
 * The most multiply-adds a second that a core does with the instruction of each kind of kernels: nothing but that instruction, on
 * registers. benchmarks/speed.py compiles it and compares the synthesis with it.
 *
 *     gcc -O2 -o multiply_limit benchmarks/multiply_limit.c && ./multiply_limit avx2
 */
#define _POSIX_C_SOURCE 199309L
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 20000000, SUMS = 12 };

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* SUMS sums in registers, which do not wait for each other. */
#define LIMIT(name, target_name, vec, set, instructions, store)                                                        \
    __attribute__((target(target_name))) static int32_t name(void)                                                     \
    {                                                                                                                  \
        vec sum[SUMS], w = set(3), x = set(5), product;                                                                \
        int32_t out[16];                                                                                               \
        _Pragma("GCC unroll 12") for (int k = 0; k < SUMS; k++) sum[k] = set(k);                                       \
        for (int round = 0; round < ROUNDS; round++)                                                                   \
            _Pragma("GCC unroll 12") for (int k = 0; k < SUMS; k++)                                                    \
                __asm__ volatile(instructions : "+v"(sum[k]), "=&v"(product) : "v"(w), "v"(x));                        \
        _Pragma("GCC unroll 12") for (int k = 1; k < SUMS; k++) sum[0] ^= sum[k];                                      \
        store;                                                                                                         \
        return out[0];                                                                                                 \
    }

LIMIT(sse2, "avx", __m128i, _mm_set1_epi32, "vpmaddwd %2, %3, %1\n\tvpaddd %1, %0, %0",
      _mm_storeu_si128((__m128i *)out, sum[0]))
LIMIT(avx2, "avx2", __m256i, _mm256_set1_epi32, "vpmaddwd %2, %3, %1\n\tvpaddd %1, %0, %0",
      _mm256_storeu_si256((__m256i *)out, sum[0]))
LIMIT(avx512, "avx512f,avx512bw,avx512vnni", __m512i, _mm512_set1_epi32, "vpdpwssd %2, %3, %0", _mm512_storeu_si512(out, sum[0]))

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        int32_t (*run)(void);
        int lanes;
    } kinds[] = {{"sse2", sse2, 4}, {"avx2", avx2, 8}, {"avx512", avx512, 16}};
    for (size_t k = 0; count == 2 && k < sizeof kinds / sizeof *kinds; k++) {
        if (strcmp(arguments[1], kinds[k].name)) continue;
        double best = 1e9;
        volatile int32_t sink = 0;
        for (int run = 0; run < 3; run++) {
            double began = seconds();
            sink = sink + kinds[k].run();
            double taken = seconds() - began;
            best = taken < best ? taken : best;
        }
        printf("%.4g\n", (double)ROUNDS * SUMS * kinds[k].lanes * 2 / best);
        return 0;
    }
    fprintf(stderr, "give sse2, avx2 or avx512\n");
    return 2;
}
