/* The payload of one image of a model of the kind grey: FORMAT.md, section 12. It is one stream, and its check covers all symbols. */
#include "grey.h"

/* A latent with its intervals, and what the steps take in turn. */
typedef struct {
    int rows, columns;
    size_t symbols;
    int8_t *y;
    uint16_t *start, *freq_less_one;
    mnz_arena rest;
} buffers;

static int positions_of(int pixels)
{
    return (pixels + MNZ_GREY_BLOCK - 1) / MNZ_GREY_BLOCK;
}

static int take_buffers(const mnz_header *h, mnz_arena arena, buffers *b)
{
    b->rows = positions_of(h->height), b->columns = positions_of(h->width);
    b->symbols = (size_t)b->rows * (size_t)b->columns * MNZ_GREY_CHANNELS;
    b->y = mnz_take(&arena, b->symbols, 1);
    b->start = mnz_take(&arena, b->symbols, sizeof *b->start);
    b->freq_less_one = mnz_take(&arena, b->symbols, sizeof *b->freq_less_one);
    b->rest = arena;
    return !arena.failed;
}

size_t mnz_grey_file_workspace(const mnz_model *model, const mnz_header *h)
{
    const int rows = positions_of(h->height), columns = positions_of(h->width);
    const uint64_t shared = (uint64_t)rows * (uint64_t)columns * MNZ_GREY_CHANNELS * 5 + 3 * MNZ_ALIGNMENT;
    const size_t coding = mnz_grey_workspace(model, rows, columns), search = mnz_image_search_workspace(model, rows, columns);
    const uint64_t size = shared + (coding > search ? coding : search);
    return coding && size <= SIZE_MAX / 2 ? mnz_aligned((size_t)size) : 0;
}

/* The symbols of an image and their intervals. */
static mnz_status plan(const mnz_model *model, const mnz_header *h, const uint8_t *pixels, int effort, buffers *b)
{
    const int q = h->quality - 1;
    mnz_status status = mnz_analyse_image(model, pixels, h->height, h->width, q, b->y, b->rest.at, b->rest.left);
    if (status == MNZ_OK)
        status = mnz_refine_image(model, pixels, h->height, h->width, q, effort, model->lmbda[q], b->y, b->rest.at, b->rest.left);
    if (status == MNZ_OK)
        status = mnz_image_symbols(model, b->y, b->rows, b->columns, q, b->start, b->freq_less_one, b->rest.at, b->rest.left);
    return status;
}

mnz_status mnz_grey_encode(const mnz_model *model, const mnz_header *h, const uint8_t *pixels, int effort, int check_bits, uint8_t *out,
                           size_t capacity, size_t *size, mnz_arena arena)
{
    buffers b;
    if (!take_buffers(h, arena, &b)) return MNZ_ERROR_MEMORY;
    const mnz_status status = plan(model, h, pixels, effort, &b);
    if (status != MNZ_OK) return status;
    return mnz_encode_intervals(b.start, b.freq_less_one, mnz_grey_symbols(model, b.rows, b.columns, h->quality - 1),
                                mnz_check_of(h, 0, b.y, b.symbols), check_bits, out, capacity, size);
}

mnz_status mnz_grey_measure(const mnz_model *model, const mnz_header *h, const uint8_t *pixels, int effort, int64_t *bits, int64_t *error,
                            mnz_arena arena)
{
    buffers b;
    const size_t size = (size_t)h->width * (size_t)h->height;
    if (!take_buffers(h, arena, &b)) return MNZ_ERROR_MEMORY;
    mnz_status status = plan(model, h, pixels, effort, &b);
    if (status != MNZ_OK) return status;
    const size_t symbols = mnz_grey_symbols(model, b.rows, b.columns, h->quality - 1);
    for (size_t k = 0; k < symbols; k++) *bits += mnz_cost(b.freq_less_one[k] + 1u);
    uint8_t *x = (uint8_t *)b.start; /* a latent has a symbol for each pixel, or more */
    status = mnz_synthesize_image(model, b.y, h->height, h->width, h->quality - 1, x, b.rest.at, b.rest.left);
    for (size_t k = 0; status == MNZ_OK && k < size; k++) *error += (x[k] - pixels[k]) * (x[k] - pixels[k]);
    return status;
}

mnz_status mnz_grey_decode(const mnz_model *model, const mnz_header *h, const uint8_t *payload, size_t size, int check_bits,
                           uint8_t *pixels, mnz_arena arena)
{
    const int q = h->quality - 1;
    mnz_final final;
    buffers b;
    if (!take_buffers(h, arena, &b)) return MNZ_ERROR_MEMORY;
    const int32_t shape[2] = {b.rows, b.columns};
    const mnz_status status = mnz_decode_images(model, payload, size, q, 1, shape, b.y, &final, b.rest.at, b.rest.left);
    if (status != MNZ_OK) return status == MNZ_ERROR_STREAM ? MNZ_ERROR_DAMAGED : status;
    if (!mnz_check_passed(final, mnz_check_of(h, 0, b.y, b.symbols), check_bits)) return MNZ_ERROR_DAMAGED;
    return mnz_synthesize_image(model, b.y, h->height, h->width, q, pixels, b.rest.at, b.rest.left);
}
