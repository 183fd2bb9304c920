/* Parts of workspaces, and products with matrices of either kind. */
#include "engine.h"

#include <string.h>

const int32_t mnz_zeros[MNZ_OUTPUTS_MAX] = {0};

size_t mnz_aligned(size_t size)
{
    return (size + MNZ_ALIGNMENT - 1) / MNZ_ALIGNMENT * MNZ_ALIGNMENT;
}

mnz_arena mnz_arena_of(void *memory, size_t size)
{
    int aligned = memory != NULL && (uintptr_t)memory % MNZ_ALIGNMENT == 0;
    return (mnz_arena){memory, aligned ? size : 0, !aligned};
}

void *mnz_take(mnz_arena *arena, size_t count, size_t item)
{
    size_t size = mnz_aligned(count * item);
    unsigned char *taken = arena->at;
    if (arena->failed || size > arena->left) {
        arena->failed = 1;
        return NULL;
    }
    arena->at += size;
    arena->left -= size;
    return taken;
}

void mnz_products(const mnz_model *model, const int16_t *x, const int32_t *offset, int places, ptrdiff_t run_stride,
                  const mnz_matrix *matrix, int32_t *sums)
{
    if (matrix->narrow) {
        model->kernels->products(x, offset, places, run_stride, matrix, sums);
        return;
    }
    const int stride = mnz_stride(matrix);
    for (int place = 0; place < places; place++, sums += stride) {
        const int32_t *w = matrix->wide;
        memset(sums, 0, (size_t)stride * sizeof *sums);
        for (int run = 0; run < matrix->runs; run++)
            for (int k = 0; k < matrix->inputs; k++, w += stride) {
                int32_t input = x[offset[place] + run * run_stride + k];
                if (input) model->kernels->accumulate(input, w, stride, sums);
            }
    }
}

void mnz_products_at(const mnz_model *model, const int16_t *x, const int32_t *offset, int places, const ptrdiff_t *start,
                     const mnz_matrix *matrix, const int32_t *first, ptrdiff_t first_stride, int32_t *sums)
{
    if (matrix->narrow) {
        model->kernels->products_at(x, offset, places, start, matrix, first, first_stride, sums);
        return;
    }
    const int stride = mnz_stride(matrix);
    for (int place = 0; place < places; place++, sums += stride, first += first_stride) {
        const int32_t *w = matrix->wide;
        memmove(sums, first, (size_t)stride * sizeof *sums);
        for (int run = 0; run < matrix->runs; run++)
            for (int k = 0; k < matrix->inputs; k++, w += stride) {
                int32_t input = x[offset[place] + start[run] + k];
                if (input) model->kernels->accumulate(input, w, stride, sums);
            }
    }
}

void mnz_sparse_products(const mnz_model *model, const mnz_sparse *x, const mnz_matrix *matrix, int32_t *sums)
{
    if (matrix->narrow) {
        model->kernels->sparse_products(x, matrix, sums);
        return;
    }
    const int stride = mnz_stride(matrix);
    for (int i = 0; i < x->count; i++) {
        int16_t pair[2];
        memcpy(pair, x->value + i, sizeof pair);
        for (int k = 0; k < 2; k++) {
            const int32_t *w = matrix->wide + ((size_t)2 * x->pair[i] + k) * stride;
            if (pair[k]) model->kernels->accumulate(pair[k], w, stride, sums);
        }
    }
}

void mnz_sparse_add(mnz_sparse *sparse, const int16_t *x, int first_pair, int pairs)
{
    for (int k = 0; k < pairs; k++) {
        int32_t both;
        memcpy(&both, x + 2 * k, sizeof both);
        sparse->pair[sparse->count] = (uint16_t)(first_pair + k);
        sparse->value[sparse->count] = both;
        sparse->count += both != 0;
    }
}
