/* FORMAT.md, sections 1, 3, 5, 8 and 10: headers, checks, and the streams of one image. Stored files (section 2) need deflate. */
#include "grey.h"

#include <string.h>

enum { SIDE_MAX = 65535, LOSSLESS_DIGIT = 101, BY_FINGERPRINT = 15, LENGTH_BYTES = 3, STORED = 2 };

/* ---- Checks ---- */

/* CRC-32 of more bytes, by half bytes: the table is small, and there are few bytes. */
static uint32_t crc32(uint32_t crc, const void *bytes, size_t size)
{
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                       0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    const uint8_t *at = bytes;
    crc = ~crc;
    for (size_t k = 0; k < size; k++) {
        crc = table[(crc ^ at[k]) & 15] ^ (crc >> 4);
        crc = table[(crc ^ (at[k] >> 4)) & 15] ^ (crc >> 4);
    }
    return ~crc;
}

uint32_t mnz_check_of(const mnz_header *h, uint32_t stream, const void *content, size_t size)
{
    uint8_t header[MNZ_HEADER_MAX];
    const size_t header_size = mnz_write_header(h, header);
    const uint8_t number[4] = {(uint8_t)stream, (uint8_t)(stream >> 8), (uint8_t)(stream >> 16), (uint8_t)(stream >> 24)};
    return crc32(crc32(crc32(0, header, header_size), number, sizeof number), content, size);
}

/* ---- Varints ---- */

static size_t write_varint(uint32_t value, uint8_t *out)
{
    size_t size = 0;
    for (; value > 127; value >>= 7) out[size++] = (uint8_t)(value | 128);
    out[size++] = (uint8_t)value;
    return size;
}

/* Read a number in its shortest form; returns 0 if there is none up to a limit. */
static int read_varint(const uint8_t **at, const uint8_t *end, uint32_t limit, uint32_t *value)
{
    *value = 0;
    for (int shift = 0; *at < end && shift < 28; shift += 7) {
        const uint8_t byte = *(*at)++;
        *value |= (uint32_t)(byte & 127) << shift;
        if (byte < 128) return *value <= limit && (byte || shift == 0);
    }
    return 0;
}

/* ---- Headers ---- */

static int is_valid(const mnz_header *h)
{
    if (h->width < 1 || h->width > SIDE_MAX || h->height < 1 || h->height > SIDE_MAX) return 0;
    if (h->mode != MNZ_LOSSY && h->mode != MNZ_LOSSLESS && h->mode != MNZ_BOUNDED) return 0;
    if (h->mode == MNZ_LOSSY && (h->quality < 1 || h->quality > MNZ_QUALITIES)) return 0;
    if (h->mode == MNZ_BOUNDED && (h->max_error < 1 || h->max_error > MNZ_ERROR_MAX)) return 0;
    return h->model >= 0 && h->model <= BY_FINGERPRINT && h->model != BY_FINGERPRINT - 1;
}

size_t mnz_write_header(const mnz_header *h, uint8_t out[MNZ_HEADER_MAX])
{
    if (!is_valid(h)) return 0;
    const int sized = h->width != MNZ_TILE || h->height != MNZ_TILE, lossy = h->mode == MNZ_LOSSY, bounded = h->mode == MNZ_BOUNDED;
    size_t size = 2;
    out[0] = 0xca, out[1] = 0xe1;
    if (h->model == 0 && !sized && !bounded) {
        out[size++] = (uint8_t)(lossy ? h->quality : LOSSLESS_DIGIT);
        return size;
    }
    out[size++] = (uint8_t)(128 | sized << 6 | h->mode << 4 | h->model);
    if (h->model == BY_FINGERPRINT) {
        memcpy(out + size, h->fingerprint, sizeof h->fingerprint);
        size += sizeof h->fingerprint;
    }
    if (lossy || bounded) out[size++] = (uint8_t)(lossy ? h->quality : h->max_error);
    if (sized) {
        size += write_varint((uint32_t)h->width, out + size);
        size += write_varint((uint32_t)h->height, out + size);
    }
    return size;
}

mnz_status mnz_read_header(const uint8_t *file, size_t size, mnz_header *h, size_t *header_size)
{
    const uint8_t *at = file + 3, *end = file + size;
    if (size < 2 || file[0] != 0xca || file[1] >> 4 != 0xe) return MNZ_ERROR_NO_FILE;
    if (file[1] != 0xe1) return MNZ_ERROR_UNSUPPORTED;
    if (size < 3) return MNZ_ERROR_DAMAGED;
    const int kind = file[2];
    *h = (mnz_header){MNZ_LOSSY, MNZ_TILE, MNZ_TILE, 0, {0}, 0, 0};
    if (kind >= 1 && kind <= MNZ_QUALITIES) {
        h->quality = kind;
    } else if (kind == LOSSLESS_DIGIT) {
        h->mode = MNZ_LOSSLESS;
    } else {
        uint32_t width = MNZ_TILE, height = MNZ_TILE;
        h->mode = kind >> 4 & 3;
        h->model = kind & 15;
        if (kind < 128 || h->mode == STORED || h->model == BY_FINGERPRINT - 1) return MNZ_ERROR_UNSUPPORTED;
        if (h->model == BY_FINGERPRINT) {
            if ((size_t)(end - at) < sizeof h->fingerprint) return MNZ_ERROR_DAMAGED;
            memcpy(h->fingerprint, at, sizeof h->fingerprint);
            at += sizeof h->fingerprint;
        }
        if (h->mode != MNZ_LOSSLESS) {
            if (at == end) return MNZ_ERROR_DAMAGED;
            *(h->mode == MNZ_LOSSY ? &h->quality : &h->max_error) = *at++;
        }
        if (kind & 64 && (!read_varint(&at, end, SIDE_MAX, &width) || !read_varint(&at, end, SIDE_MAX, &height)))
            return MNZ_ERROR_DAMAGED;
        h->width = (int)width, h->height = (int)height;
    }
    uint8_t shortest[MNZ_HEADER_MAX];
    *header_size = (size_t)(at - file);
    if (mnz_write_header(h, shortest) != *header_size || memcmp(file, shortest, *header_size)) return MNZ_ERROR_DAMAGED;
    return MNZ_OK;
}

/* ---- Tiles ---- */

static int columns_of(const mnz_header *h)
{
    return (h->width + MNZ_TILE - 1) / MNZ_TILE;
}

static uint32_t tiles_of(const mnz_header *h)
{
    return (uint32_t)columns_of(h) * (uint32_t)((h->height + MNZ_TILE - 1) / MNZ_TILE);
}

static int clamp(int value, int last)
{
    return value < last ? value : last;
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
            const size_t at = (size_t)clamp(row, h->height - 1) * h->width + clamp(column, h->width - 1);
            x[r * MNZ_TILE + c] = (uint8_t)(covered || h->mode == MNZ_LOSSY ? mnz_nearest_level(pixels[at], h->max_error) : 0);
        }
}

static void paste_tile(const mnz_header *h, const uint8_t *x, uint32_t number, uint8_t *pixels)
{
    const int top = (int)(number / columns_of(h)) * MNZ_TILE, left = (int)(number % columns_of(h)) * MNZ_TILE;
    for (int r = 0; r < MNZ_TILE && top + r < h->height; r++) {
        const int width = clamp(h->width - left, MNZ_TILE);
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
    if (!is_valid(h)) return 0;
    if (model->kind == MNZ_KIND_GREY) return mnz_grey_file_workspace(model, h);
    const int lossless = h->mode != MNZ_LOSSY;
    const size_t tiles = MNZ_TILES_PER_STREAM, symbols = tiles * (lossless ? MNZ_PIXEL_SYMBOLS_MAX : MNZ_SYMBOLS);
    const size_t shared = 2 * tiles * MNZ_TILE_PIXELS + tiles * (MNZ_SYMBOLS + 8) + 6 * symbols + 16 * MNZ_ALIGNMENT;
    const size_t coding = 4 * symbols + 2 * MNZ_ALIGNMENT, networks = lossless ? mnz_lossless_workspace(model, MNZ_TILES_PER_STREAM)
                                                                               : mnz_search_workspace(model);
    return mnz_aligned(shared) + mnz_aligned(coding > networks ? coding : networks);
}

/* Code one stream. */
static mnz_status encode_stream(const mnz_model *model, const mnz_header *h, uint32_t number, int tiles, const uint8_t *pixels, int effort,
                                int check_bits, buffers *b, uint8_t *out, size_t capacity, size_t *size)
{
    const int q = h->quality - 1, lossless = h->mode != MNZ_LOSSY;
    mnz_status status = MNZ_OK;
    size_t symbols = 0;
    for (int k = 0; k < tiles && status == MNZ_OK; k++) {
        uint8_t *x = b->x + k * MNZ_TILE_PIXELS, *inside = b->inside + k * MNZ_TILE_PIXELS;
        int8_t *y = b->y + k * MNZ_SYMBOLS;
        cut_tile(h, pixels, number * MNZ_TILES_PER_STREAM + (uint32_t)k, inside, x);
        if (lossless) {
            int count = 0;
            status = mnz_pixel_symbols(model, x, inside, h->max_error, &count, b->turn + symbols, b->start + symbols, b->freq_less_one + symbols,
                                       b->rest.at, b->rest.left);
            b->counts[k] = count;
            symbols += (size_t)count;
            continue;
        }
        status = mnz_first_latent(model, x, inside, q, y, b->rest.at, b->rest.left);
        if (status == MNZ_OK) status = mnz_refine(model, x, inside, q, effort, y, b->rest.at, b->rest.left);
        if (status == MNZ_OK)
            status = mnz_latent_symbols(model, y, q, b->start + k * MNZ_SYMBOLS, b->freq_less_one + k * MNZ_SYMBOLS, b->rest.at,
                                        b->rest.left);
    }
    if (status != MNZ_OK) return status;
    if (lossless) {
        const uint32_t check = mnz_check_of(h, number, b->x, (size_t)tiles * MNZ_TILE_PIXELS);
        return mnz_encode_pixels(b->counts, tiles, b->turn, b->start, b->freq_less_one, check, out, capacity, size, b->rest.at,
                                 b->rest.left);
    }
    const uint32_t check = mnz_check_of(h, number, b->y, (size_t)tiles * MNZ_SYMBOLS);
    return mnz_encode_latents(b->start, b->freq_less_one, tiles, 0, check, check_bits, out, capacity, size, b->rest.at, b->rest.left);
}

size_t mnz_file_bound(const mnz_header *h)
{
    if (!is_valid(h)) return 0;
    const uint64_t tiles = tiles_of(h), streams = (tiles + MNZ_TILES_PER_STREAM - 1) / MNZ_TILES_PER_STREAM;
    const uint64_t symbols = h->mode != MNZ_LOSSY ? MNZ_PIXEL_SYMBOLS_MAX : MNZ_TILE_PIXELS; /* of a tile; grey has one for each pixel */
    const uint64_t size = MNZ_HEADER_MAX + 2 * symbols * tiles + streams * (4 + LENGTH_BYTES + sizeof(uint32_t));
    return size <= SIZE_MAX / 2 ? (size_t)size : 0;
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
    if (model->kind == MNZ_KIND_GREY) {
        const mnz_status status = mnz_grey_encode(model, h, pixels, effort, check_bits, out + written, capacity - written, out_size, arena);
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
                to += write_varint(length, to);
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
        status = mnz_decode_pixels(model, stream, size, b->inside, tiles, h->max_error, 0, b->x, b->possible, &final, b->rest.at, b->rest.left);
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
    if (!is_valid(h) || check_bits < 0 || check_bits > MNZ_CHECK_BITS_MAX) return MNZ_ERROR_ARGUMENT;
    if (h->mode != MNZ_LOSSY && !model->has_pixels) return MNZ_ERROR_NO_PIXEL_MODEL;
    if (model->kind == MNZ_KIND_GREY) return mnz_grey_decode(model, h, payload, size, check_bits, pixels, arena);
    if (!take_buffers(arena, h->mode != MNZ_LOSSY, &b)) return MNZ_ERROR_MEMORY;
    const uint32_t tiles = tiles_of(h), streams = (tiles + MNZ_TILES_PER_STREAM - 1) / MNZ_TILES_PER_STREAM;
    if (size < streams) return MNZ_ERROR_DAMAGED;
    const uint8_t *const end = payload + size, *lengths = payload, *stream = payload;
    for (uint32_t k = 0, length; k + 1 < streams; k++)
        if (!read_varint(&stream, end, (uint32_t)(size < 0xffffff ? size : 0xffffff), &length)) return MNZ_ERROR_DAMAGED;
    for (uint32_t k = 0; k < streams; k++) {
        const uint32_t left = tiles - k * MNZ_TILES_PER_STREAM;
        uint32_t length = 0;
        size_t stream_size = (size_t)(end - stream);
        if (k + 1 < streams) {
            read_varint(&lengths, end, 0xffffff, &length);
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
