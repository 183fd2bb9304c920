/*
 * Run the cases that tools/engine_cases.py writes, through mnistzip.h, with all instructions of this processor:
 *
 *     cases FILE [changes [end | start]]
 *
 * Then load each prepared model with bytes changed at random, as many times as told (200), and compute with those that load.
 * Exit status 1 if a result differs. Every array has its own block of memory, so that sanitizers notice each access beyond one. With
 * "end", each array ends where a page begins that nothing may read or write, and with "start" it begins behind one.
 */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM = 64 }; /* random bytes that are decoded */

static const char *const names[KINDS] = {
    "end",        "model",          "analyse",        "first_latent",  "refine",        "refine_to_budget", "latent_symbols",
    "synthesize", "encode_latents", "decode_latents", "pixel_symbols", "encode_pixels", "decode_pixels",    "encode_intervals",
    "analyse_image", "refine_image", "image_symbols", "synthesize_image", "decode_image_latents", "image_pixel_symbols",
    "decode_pixel_images", "find_bitmap", "digit_of", "bitmap_symbols", "decode_bitmaps", "read_header",
    "encode_file", "decode_file", "measure_file"};

void stop(const char *message)
{
    fprintf(stderr, "cases: %s\n", message);
    exit(2);
}

static memory read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) stop("the file cannot be read");
    long size = ftell(file);
    if (size < 0 || fseek(file, 0, SEEK_SET)) stop("the file cannot be read");
    memory m = allocate((size_t)size);
    if (fread(m.at, 1, (size_t)size, file) != (size_t)size) stop("the file cannot be read");
    fclose(file);
    return m;
}

/* The next case of a file; the arrays must be freed. */
static test_case next_case(const memory *file, size_t *at)
{
    test_case c;
    memset(&c, 0, sizeof c);
    if (file->size - *at < sizeof c.head) stop("the file is cut short");
    memcpy(&c.head, file->at + *at, sizeof c.head);
    *at += sizeof c.head;
    if (c.head.kind < END || c.head.kind >= KINDS) stop("the file has another byte order, or is no file of cases");
    for (int k = 0; k < ARRAYS; k++) {
        if (c.head.size[k] < 0) continue;
        c.size[k] = (size_t)c.head.size[k];
        if (file->size - *at < c.size[k]) stop("the file is cut short");
        c.array[k] = take(c.size[k]);
        memcpy(c.array[k], file->at + *at, c.size[k]);
        *at += (c.size[k] + MNZ_ALIGNMENT - 1) / MNZ_ALIGNMENT * MNZ_ALIGNMENT;
    }
    return c;
}

static void free_case(test_case *c)
{
    for (int k = 0; k < ARRAYS; k++) give(c->array[k]);
}

/* ---- Comparing ---- */

int same(const test_case *c, int array, const void *result, size_t size)
{
    return c->size[array] == size && (size == 0 || memcmp(c->array[array], result, size) == 0);
}

int same_final(const test_case *c, int array, mnz_final final, int check_bits)
{
    const uint32_t *expected = c->array[array];
    if (c->size[array] != 4 * sizeof *expected || final.state != expected[0] || (final.bytes_left == 0) != (int)expected[1]) return 0;
    return mnz_check_passed(final, expected[2], check_bits) == (int)expected[3];
}

/* ---- Kinds of cases ---- */

static int run_lossy(const mnz_model *model, const test_case *c, memory lossy, memory search)
{
    const int32_t *p = c->head.parameter;
    int8_t *y = take(MNZ_SYMBOLS);
    uint8_t *x = take(MNZ_TILE_PIXELS);
    const size_t size = MNZ_SYMBOLS * sizeof(uint16_t);
    uint16_t *start = take(size), *freq_less_one = take(size);
    int64_t limit;
    int passed = 0;
    switch (c->head.kind) {
    case ANALYSE:
        passed = mnz_analyse(model, c->array[0], p[0], y, lossy.at, lossy.size) == MNZ_OK && same(c, 1, y, MNZ_SYMBOLS);
        break;
    case FIRST_LATENT:
        passed = mnz_first_latent(model, c->array[0], c->array[1], p[0], y, search.at, search.size) == MNZ_OK &&
                 same(c, 2, y, MNZ_SYMBOLS);
        break;
    case REFINE:
        memcpy(y, c->array[2], MNZ_SYMBOLS);
        passed = mnz_refine(model, c->array[0], c->array[1], p[0], p[1], y, search.at, search.size) == MNZ_OK &&
                 same(c, 3, y, MNZ_SYMBOLS);
        break;
    case REFINE_TO_BUDGET:
        memcpy(&limit, c->array[0], sizeof limit);
        passed = mnz_refine_to_budget(model, c->array[1], c->array[2], p[0], p[1], limit, y, search.at, search.size) == MNZ_OK &&
                 same(c, 3, y, MNZ_SYMBOLS);
        break;
    case LATENT_SYMBOLS:
        passed = mnz_latent_symbols(model, c->array[0], p[0], start, freq_less_one, lossy.at, lossy.size) == MNZ_OK &&
                 same(c, 1, start, size) && same(c, 2, freq_less_one, size);
        break;
    default: /* SYNTHESIZE */
        passed = mnz_synthesize(model, c->array[0], p[0], x, lossy.at, lossy.size) == MNZ_OK && same(c, 1, x, MNZ_TILE_PIXELS);
        break;
    }
    give(start);
    give(freq_less_one);
    give(x);
    give(y);
    return passed;
}

static int run_encode_latents(const test_case *c, memory lossy)
{
    const int32_t *p = c->head.parameter;
    const size_t capacity = mnz_stream_bound((size_t)p[0] * MNZ_SYMBOLS);
    uint8_t *out = take(capacity);
    uint32_t check;
    size_t size = 0;
    memcpy(&check, c->array[2], sizeof check);
    mnz_status status = mnz_encode_latents(c->array[0], c->array[1], p[0], p[1], check, p[2], out,
                                           capacity, &size, lossy.at, lossy.size);
    int passed = status == MNZ_OK && same(c, 3, out, size);
    give(out);
    return passed;
}

static int run_decode_latents(const mnz_model *model, const test_case *c, memory lossy)
{
    const int32_t *p = c->head.parameter;
    const size_t symbols = (size_t)p[1] * MNZ_SYMBOLS;
    int8_t *y = take(symbols);
    mnz_final final = {0, 0};
    mnz_status status = mnz_decode_latents(model, c->array[0], c->size[0], p[0], p[1], p[2], y, &final, lossy.at, lossy.size);
    int passed = (int32_t)status == p[4];
    if (status == MNZ_OK) passed = passed && same(c, 1, y, symbols) && same_final(c, 2, final, p[3]);
    give(y);
    return passed;
}

static int run_pixel_symbols(const mnz_model *model, const test_case *c, memory lossless)
{
    const size_t most = MNZ_PIXEL_SYMBOLS_MAX * sizeof(uint16_t);
    int16_t *turn = take(most);
    uint16_t *start = take(most), *freq = take(most);
    int symbols = 0;
    mnz_status status = mnz_pixel_symbols(model, c->array[0], c->array[1], c->head.parameter[0], &symbols, turn, start, freq,
                                          lossless.at, lossless.size);
    const size_t size = (size_t)symbols * sizeof *start;
    int passed = status == MNZ_OK && same(c, 2, turn, size) && same(c, 3, start, size) && same(c, 4, freq, size);
    give(turn);
    give(start);
    give(freq);
    return passed;
}

static int run_encode_pixels(const test_case *c)
{
    const size_t symbols = c->size[2] / sizeof(uint16_t), capacity = mnz_stream_bound(symbols);
    memory space = allocate(4 * symbols + 2 * MNZ_ALIGNMENT);
    uint8_t *out = take(capacity);
    uint32_t check;
    size_t size = 0;
    memcpy(&check, c->array[4], sizeof check);
    mnz_status status = mnz_encode_pixels(c->array[0], c->head.parameter[0], c->array[1], c->array[2], c->array[3], check, out,
                                          capacity, &size, space.at, space.size);
    int passed = status == MNZ_OK && same(c, 5, out, size);
    give(out);
    give(space.at);
    return passed;
}

static int run_decode_pixels(const mnz_model *model, const test_case *c)
{
    const int32_t *p = c->head.parameter;
    const size_t tiles = (size_t)p[0];
    memory space = allocate(mnz_lossless_workspace(model, p[0]));
    uint8_t *x = take(tiles * MNZ_TILE_PIXELS), *possible = take(tiles);
    mnz_final final = {0, 0};
    mnz_status status = mnz_decode_pixels(model, c->array[0], c->size[0], c->array[1], p[0], p[3], p[1], x, possible, &final,
                                          space.at, space.size);
    int passed = (int32_t)status == p[2];
    if (status == MNZ_OK)
        passed = passed && same(c, 2, x, tiles * MNZ_TILE_PIXELS) && same(c, 3, possible, tiles) &&
                 same_final(c, 4, final, MNZ_CHECK_BITS_MIN);
    give(x);
    give(possible);
    give(space.at);
    return passed;
}

static int run_encode_intervals(const test_case *c)
{
    const size_t symbols = c->size[0] / sizeof(uint16_t), capacity = mnz_stream_bound(symbols);
    uint8_t *out = take(capacity);
    uint32_t check;
    size_t size = 0;
    memcpy(&check, c->array[2], sizeof check);
    mnz_status status = mnz_encode_intervals(c->array[0], c->array[1], symbols, check, c->head.parameter[0], out, capacity, &size);
    int passed = status == MNZ_OK && same(c, 3, out, size);
    give(out);
    return passed;
}

/* Parameters: height, width and shift of the bitmap, all 0 if none is found. Arrays: digit, ink. */
static int run_find_bitmap(const test_case *c)
{
    const int32_t *p = c->head.parameter;
    memory space = allocate(mnz_bitmap_workspace());
    uint8_t *ink = take(MNZ_BITMAP_PIXELS_MAX);
    mnz_bitmap found;
    mnz_status status = mnz_find_bitmap(c->array[0], &found, ink, space.at, space.size);
    int passed = status == MNZ_OK && found.height == p[0] && found.width == p[1] && found.shift == p[2] &&
                 same(c, 1, ink, (size_t)p[0] * (size_t)p[1]);
    give(ink);
    give(space.at);
    return passed;
}

/* Parameters: the bitmap. Arrays: ink, digit. */
static int run_digit_of(const test_case *c)
{
    const mnz_bitmap bitmap = {c->head.parameter[0], c->head.parameter[1], c->head.parameter[2]};
    uint8_t *x = take(MNZ_TILE_PIXELS);
    const int passed = mnz_digit_of(&bitmap, c->array[0], x) == MNZ_OK && same(c, 1, x, MNZ_TILE_PIXELS);
    give(x);
    return passed;
}

static int run_case(const mnz_model *model, const test_case *c, memory lossy, memory search, memory lossless)
{
    switch (c->head.kind) {
    case ENCODE_LATENTS: return run_encode_latents(c, lossy);
    case DECODE_LATENTS: return run_decode_latents(model, c, lossy);
    case PIXEL_SYMBOLS: return run_pixel_symbols(model, c, lossless);
    case ENCODE_PIXELS: return run_encode_pixels(c);
    case DECODE_PIXELS: return run_decode_pixels(model, c);
    case ENCODE_INTERVALS: return run_encode_intervals(c);
    case FIND_BITMAP: return run_find_bitmap(c);
    case DIGIT_OF: return run_digit_of(c);
    case ANALYSE_IMAGE:
    case REFINE_IMAGE:
    case IMAGE_SYMBOLS:
    case SYNTHESIZE_IMAGE:
    case DECODE_IMAGE_LATENTS:
    case IMAGE_PIXEL_SYMBOLS:
    case DECODE_PIXEL_IMAGES: return run_grey(model, c);
    case BITMAP_SYMBOLS:
    case DECODE_BITMAPS: return run_bitmap(model, c);
    case READ_HEADER:
    case ENCODE_FILE:
    case DECODE_FILE:
    case MEASURE_FILE: return run_file(model, c);
    default: return run_lossy(model, c, lossy, search);
    }
}

/* ---- All cases ---- */

/* Run the cases of a model, which follow in the file. Returns how many differ. */
static int run_model(const memory *file, size_t at, const memory *prepared, size_t size, int has_pixels, const char *instructions,
                     int *cases)
{
    memory of_model = allocate(mnz_model_memory(prepared->at, size));
    mnz_model *model = NULL;
    mnz_status status = mnz_model_load(prepared->at, size, instructions, of_model.at, of_model.size, &model);
    if (status != MNZ_OK) {
        printf("%s: a model does not load: %s\n", instructions, mnz_status_text(status));
        give(of_model.at);
        return 1;
    }
    int differ = mnz_model_has_pixels(model) != has_pixels || strcmp(mnz_model_instructions(model), instructions) != 0;
    memory lossy = allocate(mnz_lossy_workspace(model)), search = allocate(mnz_search_workspace(model));
    memory lossless = allocate(mnz_lossless_workspace(model, 1));
    for (;; (*cases)++) {
        test_case c = next_case(file, &at);
        if (c.head.kind == END || c.head.kind == MODEL) {
            free_case(&c);
            break;
        }
        if (!run_case(model, &c, lossy, search, lossless)) {
            differ++;
            printf("%s: case %d differs: %s", instructions, *cases, names[c.head.kind]);
            for (int k = 0; k < PARAMETERS; k++) printf(" %d", (int)c.head.parameter[k]);
            printf("\n");
        }
        free_case(&c);
    }
    give(lossy.at);
    give(search.at);
    give(lossless.at);
    give(of_model.at);
    return differ;
}

/* ---- Damaged models ---- */

uint32_t pick(uint64_t *seed, uint32_t below)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*seed >> 32) % below);
}

static void use_tiles(const mnz_model *model, uint64_t *seed)
{
    memory lossy = allocate(mnz_lossy_workspace(model)), search = allocate(mnz_search_workspace(model));
    uint8_t *x = take(MNZ_TILE_PIXELS), *x_hat = take(MNZ_TILE_PIXELS), *inside = take(MNZ_TILE_PIXELS), *stream = take(STREAM);
    uint8_t *possible = take(1), quality = (uint8_t)pick(seed, MNZ_QUALITIES);
    int8_t *y = take(MNZ_SYMBOLS);
    uint16_t *start = take(MNZ_SYMBOLS * sizeof *start), *freq_less_one = take(MNZ_SYMBOLS * sizeof *freq_less_one);
    mnz_final final;
    for (int k = 0; k < MNZ_TILE_PIXELS; k++) x[k] = (uint8_t)pick(seed, 256), inside[k] = pick(seed, 8) != 0;
    for (int k = 0; k < STREAM; k++) stream[k] = (uint8_t)pick(seed, 256);
    mnz_first_latent(model, x, inside, quality, y, search.at, search.size);
    mnz_refine(model, x, inside, quality, 1, y, search.at, search.size);
    mnz_latent_symbols(model, y, quality, start, freq_less_one, lossy.at, lossy.size);
    mnz_synthesize(model, y, quality, x_hat, lossy.at, lossy.size);
    mnz_decode_latents(model, stream, STREAM, quality, 1, 0, y, &final, lossy.at, lossy.size);
    if (mnz_model_has_pixels(model)) {
        memory lossless = allocate(mnz_lossless_workspace(model, 1));
        mnz_decode_pixels(model, stream, STREAM, inside, 1, 0, 0, x, possible, &final, lossless.at, lossless.size);
        give(lossless.at);
    }
    give(x);
    give(x_hat);
    give(inside);
    give(stream);
    give(possible);
    give(y);
    give(start);
    give(freq_less_one);
    give(lossy.at);
    give(search.at);
}

/* Compute something of everything with a model that loads: results may be anything, but nothing may crash. */
static void use(const mnz_model *model, uint64_t *seed)
{
    if (mnz_model_is_grey(model))
        use_grey(model, seed);
    else if (mnz_bitmap_coding_workspace(model))
        use_bitmaps(model, seed);
    else
        use_tiles(model, seed);
    use_files(model, seed);
}

/* A number that is likely to break something. */
static uint32_t unlikely(uint64_t *seed, uint32_t present)
{
    switch (pick(seed, 8)) {
    case 0: return 0;
    case 1: return 0x7fffffffu;
    case 2: return 0x80000000u;
    case 3: return 0xffffffffu;
    case 4: return present + 1;
    case 5: return present - 1;
    case 6: return pick(seed, 4096);
    default: return present ^ (uint32_t)1 << pick(seed, 32);
    }
}

/* Change numbers of 32 bits of a prepared model: those of the first records, which decide shapes, more often than others. */
static void damage(memory prepared, size_t size, uint64_t *seed)
{
    const uint32_t numbers = (uint32_t)(size / sizeof(uint32_t));
    for (uint32_t k = 1 + pick(seed, 3); k; k--) {
        uint32_t kind = pick(seed, 4), at = kind ? pick(seed, numbers) : pick(seed, 16), value;
        if (kind == 1) { /* a record: few small numbers, then zeros */
            for (uint32_t tries = 0; tries < 4096; tries++, at = pick(seed, numbers)) {
                const uint32_t record_at = at / 16 * 16;
                static const unsigned char zeros[16] = {0};
                if (record_at + 16 <= numbers && memcmp(prepared.at + 4 * (record_at + 12), zeros, sizeof zeros) == 0) break;
            }
        }
        memcpy(&value, prepared.at + 4 * (size_t)at, sizeof value);
        value = unlikely(seed, value);
        memcpy(prepared.at + 4 * (size_t)at, &value, sizeof value);
    }
}

/* Returns how many of the changed models load. */
static int load_damaged(const memory *prepared, size_t size, int changes, uint64_t seed)
{
    int loaded = 0;
    for (int k = 0; k < changes; k++) {
        size_t cut = k % 16 ? size : size - 64 * (size_t)pick(&seed, (uint32_t)(size / 64));
        memory changed = allocate(cut);
        memcpy(changed.at, prepared->at, cut);
        damage(changed, cut, &seed);
        const uint32_t claimed = (uint32_t)cut;
        if (pick(&seed, 8)) memcpy(changed.at + 8, &claimed, sizeof claimed);
        size_t needed = mnz_model_memory(changed.at, cut);
        if (needed) {
            memory of_model = allocate(needed);
            mnz_model *model = NULL;
            if (mnz_model_load(changed.at, cut, NULL, of_model.at, of_model.size, &model) == MNZ_OK) {
                loaded++;
                use(model, &seed);
            }
            give(of_model.at);
        }
        give(changed.at);
    }
    return loaded;
}

int main(int count, char **arguments)
{
    if (count < 2) stop("give the file of cases");
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* who waits for a difference sees it at once */
    const int changes = count > 2 ? atoi(arguments[2]) : 200;
    place_arrays(count > 3 ? arguments[3] : NULL);
    memory file = read_file(arguments[1]);
    int differ = 0, total = 0, models = 0, loaded = 0;
    for (size_t at = 0;;) {
        test_case c = next_case(&file, &at);
        const int kind = c.head.kind;
        if (kind == MODEL) {
            memory prepared = allocate(c.size[0]);
            memcpy(prepared.at, c.array[0], c.size[0]);
            for (int k = 0; mnz_instructions(k); k++)
                differ += run_model(&file, at, &prepared, c.size[0], c.head.parameter[0], mnz_instructions(k), &total);
            loaded += load_damaged(&prepared, c.size[0], changes, (uint64_t)++models);
            give(prepared.at);
        }
        free_case(&c);
        if (kind == END) break;
    }
    printf("%d of %d passed, %d of %d changed models load;", total - differ, total, loaded, models * changes);
    for (int k = 0; mnz_instructions(k); k++) printf(" %s", mnz_instructions(k));
    printf("\n");
    give(file.at);
    return differ != 0 || total == 0;
}
