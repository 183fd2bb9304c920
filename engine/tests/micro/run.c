/*
 * Runs cases with an exported model, digit_codec.h. A case is
 *
 *     kind, quality, check bits, 0; size of the input, 4 bytes, low byte first; the input
 *
 * and its result
 *
 *     status, 0, 0, 0; instructions; size of the output; the output
 *
 * Kinds: 'E' encodes pixels, 'D' decodes a stream, 'S' returns the most bytes of stack of the cases so far, 'A' tries bad arguments.
 * tests/support/micro.py writes cases and reads results.
 */
#include "machine.h"

#define DIGIT_CODEC_IMPLEMENTATION
#include "digit_codec.h"

enum { INPUT_MAX = 4096, REPORT = 12 };

static uint64_t workspace[DIGIT_CODEC_WORKSPACE / 8];
static uint8_t input[INPUT_MAX], output[MNZ_TILE_PIXELS];
static uint32_t stack_used;

static void write_number(uint32_t value, uint8_t *to)
{
    for (int k = 0; k < 4; k++) to[k] = (uint8_t)(value >> 8 * k);
}

static uint32_t read_number(const uint8_t *from)
{
    return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

/* The number of the first call that does not return what it should; 0 if all do. */
static uint32_t try_bad_arguments(void)
{
    enum { LOW = DIGIT_CODEC_QUALITY_LOW, HIGH = DIGIT_CODEC_QUALITY_HIGH, SPACE = DIGIT_CODEC_WORKSPACE };
    const mnz_micro_model *const m = &digit_codec;
    uint8_t pixels[MNZ_TILE_PIXELS] = {0}, stream[400] = {0};
    size_t size = 0;
    mnz_micro_model empty = *m;
    empty.analysis.layer = empty.synthesis.layer = NULL;
#define ENCODE(model, quality, bits, x, to, capacity, n, space, bytes) mnz_micro_encode(model, quality, bits, x, to, capacity, n, space, bytes)
#define EXPECT(expected, call)                     \
    do {                                           \
        number++;                                  \
        if ((call) != (expected)) return number;   \
    } while (0)
    uint32_t number = 0;
    if (m->analysis.layer) {
        EXPECT(MNZ_OK, ENCODE(m, LOW, 0, pixels, stream, sizeof stream, &size, workspace, SPACE));
        EXPECT(MNZ_ERROR_OUTPUT, ENCODE(m, LOW, 0, pixels, stream, size - 1, &size, workspace, SPACE));
        EXPECT(MNZ_OK, ENCODE(m, HIGH, 23, pixels, stream, sizeof stream, &size, workspace, SPACE));
        EXPECT(MNZ_ERROR_ARGUMENT, ENCODE(NULL, LOW, 8, pixels, stream, sizeof stream, &size, workspace, SPACE));
        EXPECT(MNZ_ERROR_ARGUMENT, ENCODE(m, LOW - 1, 8, pixels, stream, sizeof stream, &size, workspace, SPACE));
        EXPECT(MNZ_ERROR_ARGUMENT, ENCODE(m, HIGH + 1, 8, pixels, stream, sizeof stream, &size, workspace, SPACE));
        EXPECT(MNZ_ERROR_ARGUMENT, ENCODE(m, LOW, -1, pixels, stream, sizeof stream, &size, workspace, SPACE));
        EXPECT(MNZ_ERROR_ARGUMENT, ENCODE(m, LOW, 24, pixels, stream, sizeof stream, &size, workspace, SPACE));
        EXPECT(MNZ_ERROR_ARGUMENT, ENCODE(m, LOW, 8, NULL, stream, sizeof stream, &size, workspace, SPACE));
        EXPECT(MNZ_ERROR_ARGUMENT, ENCODE(m, LOW, 8, pixels, NULL, sizeof stream, &size, workspace, SPACE));
        EXPECT(MNZ_ERROR_ARGUMENT, ENCODE(m, LOW, 8, pixels, stream, sizeof stream, NULL, workspace, SPACE));
        EXPECT(MNZ_ERROR_ARGUMENT, ENCODE(&empty, LOW, 8, pixels, stream, sizeof stream, &size, workspace, SPACE));
        EXPECT(MNZ_ERROR_MEMORY, ENCODE(m, LOW, 8, pixels, stream, sizeof stream, &size, NULL, SPACE));
        EXPECT(MNZ_ERROR_MEMORY, ENCODE(m, LOW, 8, pixels, stream, sizeof stream, &size, workspace, 8));
        EXPECT(MNZ_ERROR_MEMORY, ENCODE(m, LOW, 8, pixels, stream, sizeof stream, &size, (char *)workspace + 4, SPACE - 4));
        EXPECT(MNZ_OK, ENCODE(m, LOW, 8, pixels, stream, sizeof stream, &size, workspace, SPACE));
    }
    if (m->synthesis.layer) {
        EXPECT(MNZ_ERROR_ARGUMENT, mnz_micro_decode(NULL, LOW, 8, stream, size, pixels, workspace, SPACE));
        EXPECT(MNZ_ERROR_ARGUMENT, mnz_micro_decode(m, LOW - 1, 8, stream, size, pixels, workspace, SPACE));
        EXPECT(MNZ_ERROR_ARGUMENT, mnz_micro_decode(m, HIGH + 1, 8, stream, size, pixels, workspace, SPACE));
        EXPECT(MNZ_ERROR_ARGUMENT, mnz_micro_decode(m, LOW, -1, stream, size, pixels, workspace, SPACE));
        EXPECT(MNZ_ERROR_ARGUMENT, mnz_micro_decode(m, LOW, 24, stream, size, pixels, workspace, SPACE));
        EXPECT(MNZ_ERROR_ARGUMENT, mnz_micro_decode(m, LOW, 8, NULL, size, pixels, workspace, SPACE));
        EXPECT(MNZ_ERROR_ARGUMENT, mnz_micro_decode(m, LOW, 8, stream, size, NULL, workspace, SPACE));
        EXPECT(MNZ_ERROR_ARGUMENT, mnz_micro_decode(&empty, LOW, 8, stream, size, pixels, workspace, SPACE));
        EXPECT(MNZ_ERROR_MEMORY, mnz_micro_decode(m, LOW, 8, stream, size, pixels, NULL, SPACE));
        EXPECT(MNZ_ERROR_MEMORY, mnz_micro_decode(m, LOW, 8, stream, size, pixels, workspace, 8));
        EXPECT(MNZ_ERROR_MEMORY, mnz_micro_decode(m, LOW, 8, stream, size, pixels, (char *)workspace + 4, SPACE - 4));
        EXPECT(MNZ_ERROR_DAMAGED, mnz_micro_decode(m, LOW, 8, stream, 0, pixels, workspace, SPACE));
    }
    /* what the header asks for is what coding takes, and nothing less will do */
    mnz_status encoded = MNZ_OK, decoded = MNZ_OK;
    if (m->analysis.layer) encoded = ENCODE(m, LOW, 8, pixels, stream, sizeof stream, &size, workspace, SPACE - 8);
    if (m->synthesis.layer && m->analysis.layer) decoded = mnz_micro_decode(m, LOW, 8, stream, size, pixels, workspace, SPACE - 8);
    if (m->analysis.layer) EXPECT(1, encoded == MNZ_ERROR_MEMORY || decoded == MNZ_ERROR_MEMORY);
    return 0;
}

int run(void)
{
    uint8_t head[8];
    while (machine_read(head, sizeof head)) {
        const uint32_t input_size = read_number(head + 4);
        size_t size = 0;
        mnz_status status = MNZ_ERROR_ARGUMENT;
        if (input_size > INPUT_MAX || !machine_read(input, input_size)) return 1;
        machine_paint_stack();
        const uint32_t before = machine_instructions();
        switch (head[0]) {
        case 'E':
            status = mnz_micro_encode(&digit_codec, head[1], head[2], input, output, sizeof output, &size, workspace, sizeof workspace);
            break;
        case 'D':
            status = mnz_micro_decode(&digit_codec, head[1], head[2], input, input_size, output, workspace, sizeof workspace);
            size = MNZ_TILE_PIXELS;
            break;
        case 'A':
            write_number(try_bad_arguments(), output);
            status = MNZ_OK, size = 4;
            break;
        default:
            write_number(stack_used, output);
            status = MNZ_OK, size = 4;
            break;
        }
        const uint32_t instructions = machine_instructions() - before, used = machine_stack_used();
        if ((head[0] == 'E' || head[0] == 'D') && used > stack_used) stack_used = used;
        uint8_t report[REPORT] = {(uint8_t)status};
        if (status != MNZ_OK) size = 0;
        write_number(instructions, report + 4);
        write_number((uint32_t)size, report + 8);
        machine_write(report, sizeof report);
        machine_write(output, size);
    }
    return 0;
}
