/*
 * A small codec for the command line, to show how the library is used:
 *
 *     cae decode MODEL FILE.cae OUT.pgm
 *     cae encode MODEL IN.pgm OUT.cae NUMBER QUALITY [EFFORT]
 *
 * QUALITY is 1 to 100, 0 to keep every pixel, or -N to keep every pixel within N grey levels.
 *
 * MODEL is a prepared model, and NUMBER its number in files. Python writes it:
 *
 *     from mnistzip.models import prepared, registry
 *     open("mnist.prepared", "wb").write(prepared.prepare(registry.shipped("mnist")))
 *
 * Build it in the root of the repository: cc -std=c11 -O3 -ffp-contract=off -Iengine engine/examples/cae.c engine/[a-z]*.c -o cae
 */
#include "mnistzip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void stop(const char *reason)
{
    fprintf(stderr, "cae: %s\n", reason);
    exit(1);
}

static void *allocate(size_t size)
{
    void *memory = aligned_alloc(MNZ_ALIGNMENT, (size / MNZ_ALIGNMENT + 1) * MNZ_ALIGNMENT);
    if (!memory) stop("out of memory");
    return memory;
}

static void require(mnz_status status)
{
    if (status != MNZ_OK) stop(mnz_status_text(status));
}

static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) stop("a file cannot be read");
    long length = ftell(file);
    if (length < 0) stop("a file cannot be read");
    rewind(file);
    uint8_t *content = allocate((size_t)length);
    *size = fread(content, 1, (size_t)length, file);
    fclose(file);
    return content;
}

static void write_file(const char *path, const char *header, const uint8_t *content, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (!file || fputs(header, file) < 0 || fwrite(content, 1, size, file) != size || fclose(file)) stop("a file cannot be written");
}

int main(int count, char **arguments)
{
    if (count < 5) stop("usage: cae decode MODEL FILE.cae OUT.pgm, or cae encode MODEL IN.pgm OUT.cae NUMBER QUALITY [EFFORT]");
    size_t size, model_size, input_size;
    mnz_model *model;
    uint8_t *prepared = read_file(arguments[2], &model_size), *input = read_file(arguments[3], &input_size);
    size = mnz_model_memory(prepared, model_size);
    require(mnz_model_load(prepared, model_size, NULL, allocate(size), size, &model));

    if (strcmp(arguments[1], "decode") == 0) {
        mnz_header header;
        size_t header_size;
        char pgm[40];
        require(mnz_read_header(input, input_size, &header, &header_size));
        const size_t pixels = (size_t)header.width * (size_t)header.height;
        if (pixels > (size_t)1 << (mnz_model_is_grey(model) ? 20 : 23)) stop("the image is too large");
        uint8_t *image = allocate(pixels);
        size = mnz_image_workspace(model, &header);
        require(mnz_decode(model, &header, input + header_size, input_size - header_size, MNZ_CHECK_BITS_MIN, image, allocate(size),
                           size));
        snprintf(pgm, sizeof pgm, "P5 %d %d 255\n", header.width, header.height);
        write_file(arguments[4], pgm, image, pixels);
    } else if (strcmp(arguments[1], "encode") == 0 && count >= 7) {
        int width = 0, height = 0, start = 0;
        if (sscanf((const char *)input, "P5 %d %d 255%n", &width, &height, &start) != 2 || !start) stop("the input is no PGM of 8 bits");
        const int quality = atoi(arguments[6]);
        mnz_header header = {quality ? MNZ_LOSSY : MNZ_LOSSLESS, width, height, atoi(arguments[5]), {0}, quality, 0};
        if (quality < 0) header.mode = MNZ_BOUNDED, header.quality = 0, header.max_error = -quality;
        const size_t bound = mnz_file_bound(&header);
        if (!bound || input_size - (size_t)start - 1 != (size_t)width * (size_t)height) stop("size, number or quality is out of range");
        uint8_t *file = allocate(bound);
        size_t written;
        size = mnz_image_workspace(model, &header);
        require(mnz_encode(model, &header, input + start + 1, count > 7 ? atoi(arguments[7]) : 3, -1, file, bound, &written,
                           allocate(size), size));
        write_file(arguments[4], "", file, written);
    } else {
        stop("give decode or encode");
    }
    return 0;
}
