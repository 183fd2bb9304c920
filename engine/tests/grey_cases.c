/* The cases of models of the kind grey. */
#include "cases.h"

#include <stdlib.h>
#include <string.h>

enum { STREAM = 64 }; /* random bytes that are decoded */

static int positions_of(int pixels)
{
    return (pixels + 3) / 4;
}

/* Analysis, search and synthesis. Parameters: quality, height, width, effort, lmbda. */
static int run_image(const mnz_model *model, const test_case *c)
{
    const int32_t *p = c->head.parameter;
    const int rows = positions_of(p[1]), columns = positions_of(p[2]), searching = c->head.kind == REFINE_IMAGE;
    const size_t pixels = (size_t)p[1] * (size_t)p[2], symbols = (size_t)rows * (size_t)columns * MNZ_GREY_CHANNELS;
    memory space = allocate(searching ? mnz_image_search_workspace(model, rows, columns) : mnz_grey_workspace(model, rows, columns));
    int8_t *y = take(symbols);
    uint8_t *x = take(pixels);
    int passed;
    if (c->head.kind == ANALYSE_IMAGE) {
        passed = mnz_analyse_image(model, c->array[0], p[1], p[2], p[0], y, space.at, space.size) == MNZ_OK && same(c, 1, y, symbols);
    } else if (searching) {
        memcpy(y, c->array[1], symbols);
        passed = mnz_refine_image(model, c->array[0], p[1], p[2], p[0], p[3], p[4], y, space.at, space.size) == MNZ_OK &&
                 same(c, 2, y, symbols);
    } else {
        passed = mnz_synthesize_image(model, c->array[0], p[1], p[2], p[0], x, space.at, space.size) == MNZ_OK && same(c, 1, x, pixels);
    }
    give(x);
    give(y);
    give(space.at);
    return passed;
}

/* Parameters: quality, rows, columns. */
static int run_symbols(const mnz_model *model, const test_case *c)
{
    const int32_t *p = c->head.parameter;
    const size_t size = mnz_grey_symbols(model, p[1], p[2], p[0]) * sizeof(uint16_t);
    memory space = allocate(mnz_grey_workspace(model, p[1], p[2]));
    uint16_t *start = take(size), *freq = take(size);
    const mnz_status status = mnz_image_symbols(model, c->array[0], p[1], p[2], p[0], start, freq, space.at, space.size);
    const int passed = status == MNZ_OK && same(c, 1, start, size) && same(c, 2, freq, size);
    give(start);
    give(freq);
    give(space.at);
    return passed;
}

/* Parameters: quality, images, the fewest bits of the check, status. Arrays: stream, shapes, and if all is well symbols and end. */
static int run_decode(const mnz_model *model, const test_case *c)
{
    const int32_t *p = c->head.parameter, *shape = c->array[1];
    size_t symbols = 0, largest = mnz_grey_workspace(model, 1, 1);
    for (int k = 0; k < p[1]; k++) {
        const size_t needed = mnz_grey_workspace(model, shape[2 * k], shape[2 * k + 1]);
        symbols += (size_t)shape[2 * k] * (size_t)shape[2 * k + 1] * MNZ_GREY_CHANNELS;
        largest = needed > largest ? needed : largest;
    }
    memory space = allocate(largest);
    int8_t *y = take(symbols);
    mnz_final final = {0, 0};
    const mnz_status status =
        mnz_decode_image_latents(model, c->array[0], c->size[0], p[0], p[1], shape, y, &final, space.at, space.size);
    int passed = (int32_t)status == p[3];
    if (status == MNZ_OK) passed = passed && same(c, 2, y, symbols) && same_final(c, 3, final, p[2]);
    give(y);
    give(space.at);
    return passed;
}

/* Parameters: largest error, height, width. A workspace that is too small or not aligned is refused. */
static int run_image_pixel_symbols(const mnz_model *model, const test_case *c)
{
    const int32_t *p = c->head.parameter;
    const size_t size = (size_t)p[1] * (size_t)p[2] * sizeof(uint16_t);
    memory space = allocate(mnz_image_pixels_workspace(model, p[1], p[2]));
    uint16_t *start = take(size), *freq = take(size);
    int passed = mnz_image_pixel_symbols(model, c->array[0], p[1], p[2], p[0], start, freq, space.at, space.size) == MNZ_OK;
    passed = passed && same(c, 1, start, size) && same(c, 2, freq, size);
    const size_t less = mnz_image_pixels_workspace(model, p[1], p[2]) - 1;
    passed = passed && mnz_image_pixel_symbols(model, c->array[0], p[1], p[2], p[0], start, freq, space.at, less) == MNZ_ERROR_MEMORY;
    passed = passed && mnz_image_pixel_symbols(model, c->array[0], p[1], p[2], p[0], start, freq, NULL, space.size) == MNZ_ERROR_MEMORY;
    passed = passed && mnz_image_pixel_symbols(model, c->array[0], p[1], p[2], p[0], start, freq, space.at + 4, space.size) == MNZ_ERROR_MEMORY;
    give(start);
    give(freq);
    give(space.at);
    return passed;
}

/* Parameters: largest error, images, status. Arrays: stream, shapes, and if all is well grey levels and end. */
static int run_decode_pixel_images(const mnz_model *model, const test_case *c)
{
    const int32_t *p = c->head.parameter, *shape = c->array[1];
    size_t pixels = 0, largest = mnz_image_pixels_workspace(model, 1, 1);
    for (int k = 0; k < p[1]; k++) {
        const size_t needed = mnz_image_pixels_workspace(model, shape[2 * k], shape[2 * k + 1]);
        pixels += (size_t)shape[2 * k] * (size_t)shape[2 * k + 1];
        largest = needed > largest ? needed : largest;
    }
    memory space = allocate(largest);
    uint8_t *x = take(pixels);
    mnz_final final = {0, 0};
    const mnz_status status = mnz_decode_pixel_images(model, c->array[0], c->size[0], p[0], p[1], shape, x, &final, space.at, space.size);
    int passed = (int32_t)status == p[2];
    if (status == MNZ_OK) passed = passed && same(c, 2, x, pixels) && same_final(c, 3, final, MNZ_CHECK_BITS_MIN);
    give(x);
    give(space.at);
    return passed;
}

int run_grey(const mnz_model *model, const test_case *c)
{
    switch (c->head.kind) {
    case IMAGE_SYMBOLS: return run_symbols(model, c);
    case DECODE_IMAGE_LATENTS: return run_decode(model, c);
    case IMAGE_PIXEL_SYMBOLS: return run_image_pixel_symbols(model, c);
    case DECODE_PIXEL_IMAGES: return run_decode_pixel_images(model, c);
    default: return run_image(model, c);
    }
}

/* Decode an image, whose grey levels the largest error leaves, and compute their intervals. */
static void use_pixels(const mnz_model *model, const uint8_t *stream, uint8_t *x, int height, int width, int max_error)
{
    const size_t size = (size_t)height * (size_t)width * sizeof(uint16_t);
    const int32_t shape[2] = {height, width};
    memory space = allocate(mnz_image_pixels_workspace(model, height, width));
    uint16_t *start = take(size), *freq = take(size);
    mnz_final final;
    if (mnz_decode_pixel_images(model, stream, STREAM, max_error, 1, shape, x, &final, space.at, space.size) == MNZ_OK &&
        mnz_image_pixel_symbols(model, x, height, width, max_error, start, freq, space.at, space.size) != MNZ_OK)
        stop("a model that loads does not code pixels");
    give(start);
    give(freq);
    give(space.at);
}

void use_grey(const mnz_model *model, uint64_t *seed)
{
    const int height = 1 + (int)pick(seed, 40), width = 1 + (int)pick(seed, 40), quality = (int)pick(seed, MNZ_QUALITIES);
    const int32_t shape[2] = {positions_of(height), positions_of(width)};
    const size_t pixels = (size_t)height * (size_t)width, symbols = (size_t)shape[0] * (size_t)shape[1] * MNZ_GREY_CHANNELS;
    const size_t coded = mnz_grey_symbols(model, shape[0], shape[1], quality);
    memory space = allocate(mnz_grey_workspace(model, shape[0], shape[1]));
    memory search = allocate(mnz_image_search_workspace(model, shape[0], shape[1]));
    uint8_t *x = take(pixels), *stream = take(STREAM);
    int8_t *y = take(symbols);
    uint16_t *start = take(coded * sizeof *start), *freq = take(coded * sizeof *freq);
    mnz_final final;
    for (size_t k = 0; k < pixels; k++) x[k] = (uint8_t)pick(seed, 256);
    for (int k = 0; k < STREAM; k++) stream[k] = (uint8_t)pick(seed, 256);
    if (mnz_analyse_image(model, x, height, width, quality, y, space.at, space.size)) stop("a model that loads does not analyse");
    mnz_refine_image(model, x, height, width, quality, 1, (int32_t)pick(seed, 1000), y, search.at, search.size);
    mnz_image_symbols(model, y, shape[0], shape[1], quality, start, freq, space.at, space.size);
    mnz_synthesize_image(model, y, height, width, quality, x, space.at, space.size);
    mnz_decode_image_latents(model, stream, STREAM, quality, 1, shape, y, &final, space.at, space.size);
    if (mnz_model_has_pixels(model)) use_pixels(model, stream, x, height, width, (int)pick(seed, MNZ_ERROR_MAX + 1));
    give(stream);
    give(start);
    give(freq);
    give(x);
    give(y);
    give(search.at);
    give(space.at);
}
