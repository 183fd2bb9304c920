/* FORMAT.md, sections 3, 8 and 10: the streams of one image, cut into tiles; models of other kinds have files of their own. Stored files
   (section 2) need deflate. */
#include "grey.h"

#include <string.h>

enum { LENGTH_BYTES = 3 };

/* ---- Tiles ---- */

static int columns_of(const mnz_header *h)
{
    return (h->width + MNZ_TILE - 1) / MNZ_TILE;
}

static uint32_t tiles_of(const mnz_header *h)
{
    return (uint32_t)columns_of(h) * (uint32_t)((h->height + MNZ_TILE - 1) / MNZ_TILE);
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* How far a pixel may change; the header's number counts only if the file is bounded. */
static int error_of(const mnz_header *h)
{
    return h->mode == MNZ_BOUNDED ? h->max_error : 0;
}

/* Which pixels of a tile the image covers and, if x is given, the tile's grey levels: of pixels beyond the image those of its edge,
   or 0 unless it is lossy. */
static void cut_tile(const mnz_header *h, const uint8_t *pixels, uint32_t number, uint8_t *inside, uint8_t *x)
{
    const int top = (int)(number / columns_of(h)) * MNZ_TILE, left = (int)(number % columns_of(h)) * MNZ_TILE;
    for (int r = 0; r < MNZ_TILE; r++)
        for (int c = 0; c < MNZ_TILE; c++) {
            const int row = top + r, column = left + c, covered = row < h->height && column < h->width;
            inside[r * MNZ_TILE + c] = (uint8_t)covered;
            if (!x) continue;
            const size_t at = (size_t)smaller(row, h->height - 1) * h->width + smaller(column, h->width - 1);
            x[r * MNZ_TILE + c] = (uint8_t)(covered || h->mode == MNZ_LOSSY ? mnz_nearest_level(pixels[at], error_of(h)) : 0);
        }
}

static void paste_tile(const mnz_header *h, const uint8_t *x, uint32_t number, uint8_t *pixels)
{
    const int top = (int)(number / columns_of(h)) * MNZ_TILE, left = (int)(number % columns_of(h)) * MNZ_TILE;
    for (int r = 0; r < MNZ_TILE && top + r < h->height; r++) {
        const int width = smaller(h->width - left, MNZ_TILE);
        memcpy(pixels + (size_t)(top + r) * h->width + left, x + r * MNZ_TILE, (size_t)width);
    }
}

/* ---- Images ---- */

/* What the streams of an image need: the tiles of one stream, and their symbols. */
typedef struct {
    uint8_t *x, *inside, *possible;
    int8_t *y;
    int32_t *counts;
    int16_t *turn;
    uint16_t *start, *freq_less_one;
    mnz_arena rest;
} buffers;

static int take_buffers(mnz_arena arena, int lossless, buffers *b)
{
    const size_t tiles = MNZ_TILES_PER_STREAM, symbols = tiles * (lossless ? MNZ_PIXEL_SYMBOLS_MAX : MNZ_SYMBOLS);
    b->x = mnz_take(&arena, tiles * MNZ_TILE_PIXELS, 1);
    b->inside = mnz_take(&arena, tiles * MNZ_TILE_PIXELS, 1);
    b->possible = mnz_take(&arena, tiles, 1);
    b->y = mnz_take(&arena, tiles * MNZ_SYMBOLS, 1);
    b->counts = mnz_take(&arena, tiles, sizeof *b->counts);
    b->turn = mnz_take(&arena, lossless ? symbols : 0, sizeof *b->turn);
    b->start = mnz_take(&arena, symbols, sizeof *b->start);
    b->freq_less_one = mnz_take(&arena, symbols, sizeof *b->freq_less_one);
    b->rest = arena;
    return !arena.failed;
}

size_t mnz_image_workspace(const mnz_model *model, const mnz_header *h)
{
    if (!mnz_header_valid(h)) return 0;
    if (model->kind == MNZ_KIND_BITMAP) return mnz_bitmap_file_workspace(model);
    if (model->kind == MNZ_KIND_GREY) return mnz_grey_file_workspace(model, h);
    const int lossless = h->mode != MNZ_LOSSY;
    const size_t tiles = MNZ_TILES_PER_STREAM, symbols = tiles * (lossless ? MNZ_PIXEL_SYMBOLS_MAX : MNZ_SYMBOLS);
    const size_t shared = 2 * tiles * MNZ_TILE_PIXELS + tiles * (MNZ_SYMBOLS + 8) + 6 * symbols + 16 * MNZ_ALIGNMENT;
    const size_t coding = 4 * symbols + 2 * MNZ_ALIGNMENT, networks = lossless ? mnz_lossless_workspace(model, MNZ_TILES_PER_STREAM)
                                                                               : mnz_search_workspace(model);
    return mnz_aligned(shared) + mnz_aligned(coding > networks ? coding : networks);
}

/* The symbols of one stream and their intervals. Returns how many they are in *symbols. */
static mnz_status plan_stream(const mnz_model *model, const mnz_header *h, uint32_t number, int tiles, const uint8_t *pixels, int effort,
                              buffers *b, size_t *symbols)
{
    const int q = h->quality - 1;
    mnz_status status = MNZ_OK;
    *symbols = 0;
    for (int k = 0; k < tiles && status == MNZ_OK; k++) {
        uint8_t *x = b->x + k * MNZ_TILE_PIXELS, *inside = b->inside + k * MNZ_TILE_PIXELS;
        int8_t *y = b->y + k * MNZ_SYMBOLS;
        uint16_t *start = b->start + *symbols, *freq_less_one = b->freq_less_one + *symbols;
        int count = MNZ_SYMBOLS;
        cut_tile(h, pixels, number * MNZ_TILES_PER_STREAM + (uint32_t)k, inside, x);
        if (h->mode != MNZ_LOSSY) {
            status = mnz_pixel_symbols(model, x, inside, error_of(h), &count, b->turn + *symbols, start, freq_less_one, b->rest.at,
                                       b->rest.left);
            b->counts[k] = count;
        } else {
            status = mnz_first_latent(model, x, inside, q, y, b->rest.at, b->rest.left);
            if (status == MNZ_OK) status = mnz_refine(model, x, inside, q, effort, y, b->rest.at, b->rest.left);
            if (status == MNZ_OK) status = mnz_latent_symbols(model, y, q, start, freq_less_one, b->rest.at, b->rest.left);
        }
        *symbols += (size_t)count;
    }
    return status;
}

/* Code one stream. */
static mnz_status encode_stream(const mnz_model *model, const mnz_header *h, uint32_t number, int tiles, const uint8_t *pixels, int effort,
                                int check_bits, buffers *b, uint8_t *out, size_t capacity, size_t *size)
{
    size_t symbols;
    const mnz_status status = plan_stream(model, h, number, tiles, pixels, effort, b, &symbols);
    if (status != MNZ_OK) return status;
    if (h->mode != MNZ_LOSSY) {
        const uint32_t check = mnz_check_of(h, number, b->x, (size_t)tiles * MNZ_TILE_PIXELS);
        return mnz_encode_pixels(b->counts, tiles, b->turn, b->start, b->freq_less_one, check, out, capacity, size, b->rest.at,
                                 b->rest.left);
    }
    const uint32_t check = mnz_check_of(h, number, b->y, (size_t)tiles * MNZ_SYMBOLS);
    return mnz_encode_latents(b->start, b->freq_less_one, tiles, 0, check, check_bits, out, capacity, size, b->rest.at, b->rest.left);
}

/* The squared error of the tiles of a stream that was planned last. */
static mnz_status add_errors(const mnz_model *model, const mnz_header *h, uint32_t number, int tiles, const uint8_t *pixels, buffers *b,
                             int64_t *error)
{
    mnz_status status = MNZ_OK;
    for (int k = 0; k < tiles && status == MNZ_OK; k++) {
        uint8_t *x = b->x + k * MNZ_TILE_PIXELS, original[MNZ_TILE_PIXELS];
        mnz_header exact = *h;
        exact.max_error = 0;
        cut_tile(&exact, pixels, number * MNZ_TILES_PER_STREAM + (uint32_t)k, b->inside, original);
        if (h->mode == MNZ_LOSSY)
            status = mnz_synthesize(model, b->y + k * MNZ_SYMBOLS, h->quality - 1, x, b->rest.at, b->rest.left);
        for (int p = 0; p < MNZ_TILE_PIXELS; p++) *error += b->inside[p] ? (x[p] - original[p]) * (x[p] - original[p]) : 0;
    }
    return status;
}

mnz_status mnz_measure(const mnz_model *model, const mnz_header *h, const uint8_t *pixels, int effort, int64_t *bits, int64_t *error,
                       void *workspace, size_t workspace_size)
{
    const mnz_arena arena = mnz_arena_of(workspace, workspace_size);
    buffers b;
    *bits = *error = 0;
    if (!mnz_header_valid(h)) return MNZ_ERROR_ARGUMENT;
    if (h->mode != MNZ_LOSSY && !model->has_pixels) return MNZ_ERROR_NO_PIXEL_MODEL;
    if (model->kind == MNZ_KIND_BITMAP) return mnz_bitmap_measure(model, h, pixels, bits, arena);
    if (model->kind == MNZ_KIND_GREY) return mnz_grey_measure(model, h, pixels, effort, bits, error, arena);
    if (!take_buffers(arena, h->mode != MNZ_LOSSY, &b)) return MNZ_ERROR_MEMORY;
    const uint32_t tiles = tiles_of(h);
    for (uint32_t first = 0; first < tiles; first += MNZ_TILES_PER_STREAM) {
        const int some = tiles - first < MNZ_TILES_PER_STREAM ? (int)(tiles - first) : MNZ_TILES_PER_STREAM;
        const uint32_t number = first / MNZ_TILES_PER_STREAM;
        size_t symbols;
        mnz_status status = plan_stream(model, h, number, some, pixels, effort, &b, &symbols);
        for (size_t k = 0; status == MNZ_OK && k < symbols; k++) *bits += mnz_cost(b.freq_less_one[k] + 1u);
        if (status == MNZ_OK) status = add_errors(model, h, number, some, pixels, &b, error);
        if (status != MNZ_OK) return status;
    }
    return MNZ_OK;
}

size_t mnz_file_bound(const mnz_header *h)
{
    if (!mnz_header_valid(h)) return 0;
    const uint64_t tiles = tiles_of(h), streams = (tiles + MNZ_TILES_PER_STREAM - 1) / MNZ_TILES_PER_STREAM;
    const uint64_t symbols = h->mode != MNZ_LOSSY ? MNZ_PIXEL_SYMBOLS_MAX : MNZ_TILE_PIXELS; /* of a tile; grey has one for each pixel */
    const uint64_t size = MNZ_HEADER_MAX + 2 * symbols * tiles + streams * (4 + LENGTH_BYTES + sizeof(uint32_t));
    const size_t least = h->mode == MNZ_LOSSLESS && tiles == 1 ? mnz_bitmap_file_bound() : 0; /* the model may be of the kind bitmap */
    return size <= SIZE_MAX / 2 ? size > least ? (size_t)size : least : 0;
}

mnz_status mnz_encode(const mnz_model *model, const mnz_header *h, const uint8_t *pixels, int effort, int bare_check_bits, uint8_t *out,
                      size_t capacity, size_t *out_size, void *workspace, size_t workspace_size)
{
    uint8_t header[MNZ_HEADER_MAX];
    const size_t header_size = mnz_write_header(h, header), written = bare_check_bits < 0 ? header_size : 0;
    const int check_bits = bare_check_bits < 0 ? MNZ_CHECK_BITS_MIN : bare_check_bits;
    buffers b;
    if (!header_size || (bare_check_bits >= 0 && h->mode != MNZ_LOSSY) || check_bits > MNZ_CHECK_BITS_MAX)
        return MNZ_ERROR_ARGUMENT;
    if (capacity < mnz_file_bound(h)) return MNZ_ERROR_OUTPUT;
    if (h->mode != MNZ_LOSSY && !model->has_pixels) return MNZ_ERROR_NO_PIXEL_MODEL;
    const mnz_arena arena = mnz_arena_of(workspace, workspace_size);
    memcpy(out, header, written);
    if (model->kind != MNZ_KIND_TILES) {
        const mnz_status status =
            model->kind == MNZ_KIND_BITMAP
                ? mnz_bitmap_encode(model, h, pixels, out + written, capacity - written, out_size, arena)
                : mnz_grey_encode(model, h, pixels, effort, check_bits, out + written, capacity - written, out_size, arena);
        if (status == MNZ_OK) *out_size += written;
        return status;
    }
    if (!take_buffers(arena, h->mode != MNZ_LOSSY, &b)) return MNZ_ERROR_MEMORY;
    const uint32_t tiles = tiles_of(h), streams = (tiles + MNZ_TILES_PER_STREAM - 1) / MNZ_TILES_PER_STREAM;
    /* Each stream is written behind its length in 4 bytes, and later moved behind the lengths of all. */
    uint8_t *const first = out + written + (size_t)(streams - 1) * LENGTH_BYTES, *end = first;
    for (uint32_t k = 0; k < streams; k++) {
        const uint32_t left = tiles - k * MNZ_TILES_PER_STREAM;
        size_t size = 0;
        const mnz_status status =
            encode_stream(model, h, k, left < MNZ_TILES_PER_STREAM ? (int)left : MNZ_TILES_PER_STREAM, pixels, effort,
                          check_bits, &b, end + sizeof(uint32_t), (size_t)(out + capacity - end) - sizeof(uint32_t), &size);
        if (status != MNZ_OK) return status;
        const uint32_t length = (uint32_t)size;
        memcpy(end, &length, sizeof length);
        end += sizeof length + size;
    }
    uint8_t *to = out + written;
    for (int moving = 0; moving < 2; moving++) {
        const uint8_t *from = first;
        for (uint32_t k = 0; k < streams; k++) {
            uint32_t length;
            memcpy(&length, from, sizeof length);
            from += sizeof length;
            if (moving) {
                memmove(to, from, length);
                to += length;
            } else if (k + 1 < streams) {
                to += mnz_write_varint(length, to);
            }
            from += length;
        }
    }
    *out_size = (size_t)(to - out);
    return MNZ_OK;
}

/* Decode one stream, and verify its check. */
static mnz_status decode_stream(const mnz_model *model, const mnz_header *h, uint32_t number, int tiles, const uint8_t *stream, size_t size,
                                int check_bits, buffers *b, uint8_t *pixels)
{
    const int lossless = h->mode != MNZ_LOSSY;
    const uint32_t first = number * MNZ_TILES_PER_STREAM;
    mnz_final final;
    mnz_status status;
    uint32_t check;
    if (lossless) {
        for (int k = 0; k < tiles; k++) cut_tile(h, NULL, first + (uint32_t)k, b->inside + k * MNZ_TILE_PIXELS, NULL);
        status = mnz_decode_pixels(model, stream, size, b->inside, tiles, error_of(h), 0, b->x, b->possible, &final, b->rest.at,
                                   b->rest.left);
        check = mnz_check_of(h, number, b->x, (size_t)tiles * MNZ_TILE_PIXELS);
        for (int k = 0; status == MNZ_OK && k < tiles; k++)
            if (!b->possible[k]) status = MNZ_ERROR_DAMAGED;
    } else {
        status = mnz_decode_latents(model, stream, size, h->quality - 1, tiles, 0, b->y, &final, b->rest.at, b->rest.left);
        check = mnz_check_of(h, number, b->y, (size_t)tiles * MNZ_SYMBOLS);
    }
    if (status != MNZ_OK) return status == MNZ_ERROR_STREAM ? MNZ_ERROR_DAMAGED : status;
    if (!mnz_check_passed(final, check, check_bits)) return MNZ_ERROR_DAMAGED;
    for (int k = 0; k < tiles && status == MNZ_OK; k++) {
        uint8_t *x = b->x + k * MNZ_TILE_PIXELS;
        if (!lossless) status = mnz_synthesize(model, b->y + k * MNZ_SYMBOLS, h->quality - 1, x, b->rest.at, b->rest.left);
        paste_tile(h, x, first + (uint32_t)k, pixels);
    }
    return status;
}

mnz_status mnz_decode(const mnz_model *model, const mnz_header *h, const uint8_t *payload, size_t size, int check_bits, uint8_t *pixels,
                      void *workspace, size_t workspace_size)
{
    const mnz_arena arena = mnz_arena_of(workspace, workspace_size);
    buffers b;
    if (!mnz_header_valid(h) || check_bits < 0 || check_bits > MNZ_CHECK_BITS_MAX) return MNZ_ERROR_ARGUMENT;
    if (h->mode != MNZ_LOSSY && !model->has_pixels) return MNZ_ERROR_NO_PIXEL_MODEL;
    if (model->kind == MNZ_KIND_BITMAP) return mnz_bitmap_decode(model, h, payload, size, check_bits, pixels, arena);
    if (model->kind == MNZ_KIND_GREY) return mnz_grey_decode(model, h, payload, size, check_bits, pixels, arena);
    if (!take_buffers(arena, h->mode != MNZ_LOSSY, &b)) return MNZ_ERROR_MEMORY;
    const uint32_t tiles = tiles_of(h), streams = (tiles + MNZ_TILES_PER_STREAM - 1) / MNZ_TILES_PER_STREAM;
    if (size < streams) return MNZ_ERROR_DAMAGED;
    const uint8_t *const end = payload + size, *lengths = payload, *stream = payload;
    for (uint32_t k = 0, length; k + 1 < streams; k++)
        if (!mnz_read_varint(&stream, end, (uint32_t)(size < 0xffffff ? size : 0xffffff), &length)) return MNZ_ERROR_DAMAGED;
    for (uint32_t k = 0; k < streams; k++) {
        const uint32_t left = tiles - k * MNZ_TILES_PER_STREAM;
        uint32_t length = 0;
        size_t stream_size = (size_t)(end - stream);
        if (k + 1 < streams) {
            mnz_read_varint(&lengths, end, 0xffffff, &length);
            if (length > stream_size) return MNZ_ERROR_DAMAGED;
            stream_size = length;
        }
        const mnz_status status = decode_stream(model, h, k, left < MNZ_TILES_PER_STREAM ? (int)left : MNZ_TILES_PER_STREAM, stream,
                                                stream_size, check_bits, &b, pixels);
        if (status != MNZ_OK) return status;
        stream += stream_size;
    }
    return MNZ_OK;
}
