/*
 * The payload of one image of a model of the kind grey: FORMAT.md, sections 12 and 13. It is one stream, and its check covers all symbols
 * of the latent, or all grey levels.
 */
#include "grey.h"

/* What is coded with its intervals, and what the steps take in turn. */
typedef struct {
    int rows, columns;          /* of the latent, if lossy */
    int max_error;              /* otherwise */
    size_t size, symbols;       /* bytes whose check is coded, and how many symbols they have */
    int8_t *y;                  /* the latent, if lossy */
    uint8_t *levels;            /* the grey levels otherwise */
    uint16_t *start, *freq_less_one;
    mnz_arena rest;
} buffers;

static int positions_of(int pixels)
{
    return (pixels + MNZ_GREY_BLOCK - 1) / MNZ_GREY_BLOCK;
}

static int is_lossy(const mnz_header *h)
{
    return h->mode == MNZ_LOSSY;
}

/* Bytes of the latent, or of the grey levels. */
static uint64_t size_of(const mnz_header *h)
{
    if (!is_lossy(h)) return (uint64_t)h->width * (uint64_t)h->height;
    return (uint64_t)positions_of(h->height) * (uint64_t)positions_of(h->width) * MNZ_GREY_CHANNELS;
}

static int take_buffers(const mnz_model *model, const mnz_header *h, mnz_arena arena, buffers *b)
{
    b->rows = positions_of(h->height), b->columns = positions_of(h->width);
    b->max_error = h->mode == MNZ_BOUNDED ? h->max_error : 0;
    b->size = (size_t)size_of(h);
    b->symbols = is_lossy(h) ? mnz_grey_symbols(model, b->rows, b->columns, h->quality - 1) : b->size;
    b->levels = mnz_take(&arena, b->size, 1);
    b->y = (int8_t *)b->levels;
    b->start = mnz_take(&arena, b->size, sizeof *b->start);
    b->freq_less_one = mnz_take(&arena, b->size, sizeof *b->freq_less_one);
    b->rest = arena;
    return !arena.failed;
}

size_t mnz_grey_file_workspace(const mnz_model *model, const mnz_header *h)
{
    const int rows = positions_of(h->height), columns = positions_of(h->width);
    const size_t coding = is_lossy(h) ? mnz_grey_workspace(model, rows, columns) : mnz_image_pixels_workspace(model, h->height, h->width);
    const size_t search = is_lossy(h) ? mnz_image_search_workspace(model, rows, columns) : 0;
    const uint64_t size = size_of(h) * 5 + 3 * MNZ_ALIGNMENT + (coding > search ? coding : search);
    return coding && size <= SIZE_MAX / 2 ? mnz_aligned((size_t)size) : 0;
}

/* What is coded of an image, and its intervals. */
static mnz_status plan(const mnz_model *model, const mnz_header *h, const uint8_t *pixels, int effort, buffers *b)
{
    const int q = h->quality - 1;
    if (!is_lossy(h)) {
        for (size_t k = 0; k < b->size; k++) b->levels[k] = (uint8_t)mnz_nearest_level(pixels[k], b->max_error);
        return mnz_image_pixel_symbols(model, b->levels, h->height, h->width, b->max_error, b->start, b->freq_less_one, b->rest.at,
                                       b->rest.left);
    }
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
    if (!take_buffers(model, h, arena, &b)) return MNZ_ERROR_MEMORY;
    const mnz_status status = plan(model, h, pixels, effort, &b);
    if (status != MNZ_OK) return status;
    return mnz_encode_intervals(b.start, b.freq_less_one, b.symbols, mnz_check_of(h, 0, b.levels, b.size), check_bits, out, capacity, size);
}

mnz_status mnz_grey_measure(const mnz_model *model, const mnz_header *h, const uint8_t *pixels, int effort, int64_t *bits, int64_t *error,
                            mnz_arena arena)
{
    buffers b;
    const size_t size = (size_t)h->width * (size_t)h->height;
    if (!take_buffers(model, h, arena, &b)) return MNZ_ERROR_MEMORY;
    mnz_status status = plan(model, h, pixels, effort, &b);
    if (status != MNZ_OK) return status;
    for (size_t k = 0; k < b.symbols; k++) *bits += mnz_cost(b.freq_less_one[k] + 1u);
    const uint8_t *x = b.levels;
    if (is_lossy(h)) { /* a latent has a symbol for each pixel, or more */
        uint8_t *to = (uint8_t *)b.start;
        status = mnz_synthesize_image(model, b.y, h->height, h->width, h->quality - 1, to, b.rest.at, b.rest.left);
        x = to;
    }
    for (size_t k = 0; status == MNZ_OK && k < size; k++) *error += (x[k] - pixels[k]) * (x[k] - pixels[k]);
    return status;
}

mnz_status mnz_grey_decode(const mnz_model *model, const mnz_header *h, const uint8_t *payload, size_t size, int check_bits,
                           uint8_t *pixels, mnz_arena arena)
{
    const int q = h->quality - 1;
    mnz_final final;
    buffers b;
    if (!take_buffers(model, h, arena, &b)) return MNZ_ERROR_MEMORY;
    const int32_t latent[2] = {b.rows, b.columns}, image[2] = {h->height, h->width};
    const mnz_status status =
        is_lossy(h) ? mnz_decode_image_latents(model, payload, size, q, 1, latent, b.y, &final, b.rest.at, b.rest.left)
                    : mnz_decode_pixel_images(model, payload, size, b.max_error, 1, image, pixels, &final, b.rest.at, b.rest.left);
    if (status != MNZ_OK) return status == MNZ_ERROR_STREAM ? MNZ_ERROR_DAMAGED : status;
    if (!mnz_check_passed(final, mnz_check_of(h, 0, is_lossy(h) ? b.levels : pixels, b.size), check_bits)) return MNZ_ERROR_DAMAGED;
    if (!is_lossy(h)) return MNZ_OK;
    return mnz_synthesize_image(model, b.y, h->height, h->width, q, pixels, b.rest.at, b.rest.left);
}
