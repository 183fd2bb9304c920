/* FORMAT.md, section 14: the payload of a digit of a model of the kind bitmap. It is one stream, whose check covers the grey levels. */
#include "engine.h"

enum { SYMBOLS_MAX = MNZ_BITMAP_EXTENT_SYMBOLS + MNZ_BITMAP_PIXELS_MAX };

/* The bitmap of a digit, its intervals, and what the steps take in turn. */
typedef struct {
    uint8_t *ink;
    uint16_t *start, *freq_less_one;
    size_t symbols;
    mnz_arena rest;
} buffers;

size_t mnz_bitmap_file_workspace(const mnz_model *model)
{
    const size_t coding = mnz_bitmap_coding_workspace(model), search = mnz_bitmap_workspace();
    return mnz_aligned(MNZ_BITMAP_PIXELS_MAX) + 2 * mnz_aligned(SYMBOLS_MAX * sizeof(uint16_t)) + (coding > search ? coding : search);
}

size_t mnz_bitmap_file_bound(void)
{
    return MNZ_HEADER_MAX + mnz_stream_bound(SYMBOLS_MAX);
}

static int is_digit(const mnz_header *h)
{
    return h->width == MNZ_TILE && h->height == MNZ_TILE;
}

/* Find a bitmap, and the intervals of its symbols. */
static mnz_status plan(const mnz_model *model, const mnz_header *h, const uint8_t *pixels, mnz_arena arena, buffers *b)
{
    mnz_bitmap bitmap;
    if (h->mode != MNZ_LOSSLESS) return MNZ_ERROR_KIND;
    if (!is_digit(h)) return MNZ_ERROR_IMAGE;
    b->ink = mnz_take(&arena, MNZ_BITMAP_PIXELS_MAX, 1);
    b->start = mnz_take(&arena, SYMBOLS_MAX, sizeof *b->start);
    b->freq_less_one = mnz_take(&arena, SYMBOLS_MAX, sizeof *b->freq_less_one);
    b->rest = arena;
    if (arena.failed) return MNZ_ERROR_MEMORY;
    const mnz_status status = mnz_find_bitmap(pixels, &bitmap, b->ink, b->rest.at, b->rest.left);
    if (status != MNZ_OK) return status;
    if (!bitmap.height) return MNZ_ERROR_IMAGE;
    b->symbols = MNZ_BITMAP_EXTENT_SYMBOLS + (size_t)(bitmap.height * bitmap.width);
    return mnz_bitmap_symbols(model, &bitmap, b->ink, b->start, b->freq_less_one, b->rest.at, b->rest.left);
}

mnz_status mnz_bitmap_encode(const mnz_model *model, const mnz_header *h, const uint8_t *pixels, uint8_t *out, size_t capacity, size_t *size,
                             mnz_arena arena)
{
    buffers b;
    const mnz_status status = plan(model, h, pixels, arena, &b);
    if (status != MNZ_OK) return status;
    const uint32_t check = mnz_check_of(h, 0, pixels, MNZ_TILE_PIXELS);
    return mnz_encode_intervals(b.start, b.freq_less_one, b.symbols, check, MNZ_CHECK_BITS_MIN, out, capacity, size);
}

mnz_status mnz_bitmap_measure(const mnz_model *model, const mnz_header *h, const uint8_t *pixels, int64_t *bits, mnz_arena arena)
{
    buffers b;
    const mnz_status status = plan(model, h, pixels, arena, &b);
    for (size_t k = 0; status == MNZ_OK && k < b.symbols; k++) *bits += mnz_cost(b.freq_less_one[k] + 1u);
    return status;
}

mnz_status mnz_bitmap_decode(const mnz_model *model, const mnz_header *h, const uint8_t *payload, size_t size, int check_bits,
                             uint8_t *pixels, mnz_arena arena)
{
    mnz_final final;
    int possible;
    if (h->mode != MNZ_LOSSLESS) return MNZ_ERROR_KIND;
    if (!is_digit(h)) return MNZ_ERROR_DAMAGED;
    const mnz_status status = mnz_decode_digits(model, payload, size, 1, pixels, &possible, &final, arena.at, arena.left);
    if (status != MNZ_OK) return status == MNZ_ERROR_STREAM ? MNZ_ERROR_DAMAGED : status;
    const uint32_t check = mnz_check_of(h, 0, pixels, MNZ_TILE_PIXELS);
    return possible && mnz_check_passed(final, check, check_bits) ? MNZ_OK : MNZ_ERROR_DAMAGED;
}
