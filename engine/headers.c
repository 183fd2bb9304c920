/* FORMAT.md, sections 1 and 5: the headers of files, and the checks of streams. */
#include "engine.h"

#include <string.h>

enum { SIDE_MAX = 65535, LOSSLESS_DIGIT = 101, BY_FINGERPRINT = 15, STORED = 2 };

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

size_t mnz_write_varint(uint32_t value, uint8_t *out)
{
    size_t size = 0;
    for (; value > 127; value >>= 7) out[size++] = (uint8_t)(value | 128);
    out[size++] = (uint8_t)value;
    return size;
}

int mnz_read_varint(const uint8_t **at, const uint8_t *end, uint32_t limit, uint32_t *value)
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

int mnz_header_valid(const mnz_header *h)
{
    if (h->width < 1 || h->width > SIDE_MAX || h->height < 1 || h->height > SIDE_MAX) return 0;
    if (h->mode != MNZ_LOSSY && h->mode != MNZ_LOSSLESS && h->mode != MNZ_BOUNDED) return 0;
    if (h->mode == MNZ_LOSSY && (h->quality < 1 || h->quality > MNZ_QUALITIES)) return 0;
    if (h->mode == MNZ_BOUNDED && (h->max_error < 1 || h->max_error > MNZ_ERROR_MAX)) return 0;
    return h->model >= 0 && h->model <= BY_FINGERPRINT && h->model != BY_FINGERPRINT - 1;
}

size_t mnz_write_header(const mnz_header *h, uint8_t out[MNZ_HEADER_MAX])
{
    if (!mnz_header_valid(h)) return 0;
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
        size += mnz_write_varint((uint32_t)h->width, out + size);
        size += mnz_write_varint((uint32_t)h->height, out + size);
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
        if (kind & 64 && (!mnz_read_varint(&at, end, SIDE_MAX, &width) || !mnz_read_varint(&at, end, SIDE_MAX, &height)))
            return MNZ_ERROR_DAMAGED;
        h->width = (int)width, h->height = (int)height;
    }
    uint8_t shortest[MNZ_HEADER_MAX];
    *header_size = (size_t)(at - file);
    if (mnz_write_header(h, shortest) != *header_size || memcmp(file, shortest, *header_size)) return MNZ_ERROR_DAMAGED;
    return MNZ_OK;
}
