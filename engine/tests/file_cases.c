/* The cases of whole files: headers, and images of models of all kinds. */
#include "cases.h"

#include <string.h>

enum { STREAM = 64, SIDE = 40 }; /* random bytes that are decoded, and the largest sides of random images */

/* Parameters: mode, width, height, number of the model, quality, largest error, effort. Array 0: fingerprint. */
static mnz_header header_of(const test_case *c)
{
    const int32_t *p = c->head.parameter;
    mnz_header h = {p[0], p[1], p[2], p[3], {0}, p[4], p[5]};
    memcpy(h.fingerprint, c->array[0], sizeof h.fingerprint);
    return h;
}

static size_t pixels_of(const mnz_header *h)
{
    return (size_t)h->width * (size_t)h->height;
}

/* Parameter: status. Arrays: bytes, and if all is well the numbers of the header and its size, and the fingerprint. */
static int run_read_header(const test_case *c)
{
    mnz_header h;
    uint8_t *written = take(MNZ_HEADER_MAX);
    size_t size = 0;
    const mnz_status status = mnz_read_header(c->array[0], c->size[0], &h, &size);
    int passed = (int32_t)status == c->head.parameter[0];
    if (passed && status == MNZ_OK) {
        const int32_t numbers[] = {h.mode, h.width, h.height, h.model, h.quality, h.max_error, (int32_t)size};
        passed = same(c, 1, numbers, sizeof numbers) && same(c, 2, h.fingerprint, sizeof h.fingerprint) &&
                 mnz_write_header(&h, written) == size && memcmp(written, c->array[0], size) == 0;
    }
    give(written);
    return passed;
}

/* Arrays: fingerprint, pixels, {bits of the check of a bare stream or -1, status}, and if all is well the file. An output or a workspace that
   is too small is refused. */
static int run_encode(const mnz_model *model, const test_case *c)
{
    const mnz_header h = header_of(c);
    const int32_t effort = c->head.parameter[6], *more = c->array[2];
    const size_t capacity = mnz_file_bound(&h), needed = mnz_image_workspace(model, &h);
    memory space = allocate(needed);
    uint8_t *out = take(capacity), *const x = c->array[1];
    size_t size = 0;
    mnz_status status = mnz_encode(model, &h, x, effort, more[0], out, capacity, &size, space.at, needed);
    int passed = (int32_t)status == more[1];
    if (passed && status == MNZ_OK) {
        passed = same(c, 3, out, size);
        status = mnz_encode(model, &h, x, effort, more[0], out, capacity - 1, &size, space.at, needed);
        passed = passed && status == MNZ_ERROR_OUTPUT;
        status = mnz_encode(model, &h, x, effort, more[0], out, capacity, &size, space.at, MNZ_ALIGNMENT);
        passed = passed && status == MNZ_ERROR_MEMORY;
    }
    give(out);
    give(space.at);
    return passed;
}

/* Arrays: fingerprint, pixels, {bits, squared error}. */
static int run_measure(const mnz_model *model, const test_case *c)
{
    const mnz_header h = header_of(c);
    const size_t needed = mnz_image_workspace(model, &h);
    memory space = allocate(needed);
    int64_t found[2];
    const int32_t effort = c->head.parameter[6];
    int passed = mnz_measure(model, &h, c->array[1], effort, &found[0], &found[1], space.at, needed) == MNZ_OK && same(c, 2, found, sizeof found);
    passed = passed && mnz_measure(model, &h, c->array[1], effort, &found[0], &found[1], space.at, MNZ_ALIGNMENT) == MNZ_ERROR_MEMORY;
    give(space.at);
    return passed;
}

/* Arrays: fingerprint, payload, {bits of the check, status}, and if all is well pixels. */
static int run_decode(const mnz_model *model, const test_case *c)
{
    const mnz_header h = header_of(c);
    const int32_t *more = c->array[2];
    const size_t needed = mnz_image_workspace(model, &h);
    memory space = allocate(needed);
    uint8_t *x = take(pixels_of(&h));
    mnz_status status = mnz_decode(model, &h, c->array[1], c->size[1], more[0], x, space.at, needed);
    int passed = (int32_t)status == more[1];
    if (passed && status == MNZ_OK) {
        passed = same(c, 3, x, pixels_of(&h));
        status = mnz_decode(model, &h, c->array[1], c->size[1], more[0], x, space.at, MNZ_ALIGNMENT);
        passed = passed && status == MNZ_ERROR_MEMORY;
    }
    give(x);
    give(space.at);
    return passed;
}

int run_file(const mnz_model *model, const test_case *c)
{
    switch (c->head.kind) {
    case READ_HEADER: return run_read_header(c);
    case ENCODE_FILE: return run_encode(model, c);
    case MEASURE_FILE: return run_measure(model, c);
    default: return run_decode(model, c);
    }
}

void use_files(const mnz_model *model, uint64_t *seed)
{
    static const int modes[] = {MNZ_LOSSY, MNZ_LOSSLESS, MNZ_BOUNDED};
    const mnz_header h = {modes[pick(seed, 3)], 1 + (int)pick(seed, SIDE), 1 + (int)pick(seed, SIDE), 15, {1, 2, 3, 4},
                          1 + (int)pick(seed, MNZ_QUALITIES), 1 + (int)pick(seed, MNZ_ERROR_MAX)};
    const size_t capacity = mnz_file_bound(&h), needed = mnz_image_workspace(model, &h);
    memory space = allocate(needed);
    uint8_t *x = take(pixels_of(&h)), *out = take(capacity), *stream = take(STREAM);
    size_t size;
    int64_t bits, error;
    for (size_t k = 0; k < pixels_of(&h); k++) x[k] = (uint8_t)pick(seed, 256);
    for (int k = 0; k < STREAM; k++) stream[k] = (uint8_t)pick(seed, 256);
    mnz_measure(model, &h, x, 0, &bits, &error, space.at, needed);
    if (mnz_encode(model, &h, x, 0, -1, out, capacity, &size, space.at, needed) == MNZ_OK) {
        mnz_header again;
        size_t header_size;
        if (mnz_read_header(out, size, &again, &header_size) ||
            mnz_decode(model, &again, out + header_size, size - header_size, MNZ_CHECK_BITS_MIN, x, space.at, needed))
            stop("a model that loads does not decode its file");
    }
    mnz_decode(model, &h, stream, STREAM, 0, x, space.at, needed);
    give(stream);
    give(out);
    give(x);
    give(space.at);
}
