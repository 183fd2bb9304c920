/*
 * FORMAT.md, section 13: the pixel model of models of the kind grey, which codes every pixel of an image without loss or within a bound.
 *
 * The pixels of a step do not see each other, so a decoder computes them together. An encoder computes those of many steps together.
 */
#include "grey.h"

#include <string.h>

enum {
    SIDE_MAX = 65535,
    ROW_STEPS = 3,                      /* steps from a pixel to the one below it */
    UP = 6,                             /* rows above a pixel that it sees, */
    LEFT = 8,                           /* and columns to the left of it. Those to the right of a row are to the left of the next one */
    RUN_MAX = 16,                       /* pixels of a row that are copied, of which a window has fewer */
    COPIED = 80,                        /* of a window, in whole blocks */
    UNKNOWN = -1,                       /* the grey level of pixels beyond the image */
    FIRST_PREDICTION = 128,
    FACTOR_MAX = 1 << 18,               /* with larger ones, all differences are clipped likewise */
    HEAD_MAX = 1 << 16,
    MEAN_LOW = -32768,
    MEAN_HIGH = 98047,
    MEAN_BITS = 8,
    AMPLITUDE_BITS = 8,
    SCALE_BITS = 4,
    WEIGHT_BITS = 16,
    SCALE_SHIFT = 13,
    SEGMENT_BITS = 7,
    REACH = MNZ_SEGMENTS << (SEGMENT_BITS - 1)
};

/* Rows of a window: where they begin, as rows above the pixel and columns to the left of it, and how many pixels they have. */
static const struct {
    int8_t up, left, length;
} window[UP + 1] = {{0, 8, 8}, {1, 7, 10}, {2, 6, 12}, {3, 5, 11}, {4, 5, 11}, {5, 4, 9}, {6, 3, 7}};

/* The grey levels that an image may have, and the symbols of all grey levels: those of the nearest ones. */
typedef struct {
    int count;
    uint8_t level[256], symbol[256];
    int32_t edge[256];                  /* between a symbol and the one before it, in 512ths of a grey level */
} alphabet;

/* A mixture of logistic distributions. */
typedef struct {
    int32_t weight[MNZ_COMPONENTS_MAX], mean[MNZ_COMPONENTS_MAX], inverse_scale[MNZ_COMPONENTS_MAX];
} mixture;

/* Pixels of an image that are computed together. */
typedef struct batch batch;
typedef void (*visitor)(void *context, batch *b, int pixel);
struct batch {
    const mnz_model *model;
    int height, width, known;           /* known: whether all grey levels are known in advance */
    alphabet levels;
    ptrdiff_t stride;                   /* from a row of the canvas to the next */
    int16_t *canvas;                    /* grey levels, with a margin of unknown ones above and to the left */
    int32_t *bias, *head_bias;          /* of the first layer and the head, with what an error adds */
    int pixels;
    int32_t row[MNZ_TOGETHER], column[MNZ_TOGETHER], prediction[MNZ_TOGETHER], spread[MNZ_TOGETHER];
    int16_t *x, *features;              /* (pixels, inputs), and (pixels, width) */
    int32_t *sums, *out, *moved;        /* (pixels, stride), (pixels, outputs of the head), (pixels, components) */
    visitor visit;
    void *context;
};

/* ---- Memory ---- */

static uint64_t canvas_size(int height, int width)
{
    return (uint64_t)(height + UP) * (uint64_t)(width + LEFT) + RUN_MAX;
}

static void *part(mnz_arena *arena, uint64_t count, size_t item, uint64_t *size)
{
    *size += (count * item + MNZ_ALIGNMENT - 1) / MNZ_ALIGNMENT * MNZ_ALIGNMENT;
    return arena ? mnz_take(arena, (size_t)count, item) : NULL;
}

/* Take the arrays of a batch and return their size; without an arena they are only measured. */
static uint64_t take_parts(batch *b, mnz_arena *arena)
{
    const mnz_grey_pixels *p = &b->model->grey_pixels;
    uint64_t size = 0;
    b->canvas = part(arena, canvas_size(b->height, b->width), sizeof *b->canvas, &size);
    b->bias = part(arena, (uint64_t)p->widest, sizeof *b->bias, &size);
    b->head_bias = part(arena, (uint64_t)p->widest, sizeof *b->head_bias, &size);
    b->x = part(arena, MNZ_TOGETHER * MNZ_WINDOW + COPIED, sizeof *b->x, &size);
    b->features = part(arena, MNZ_TOGETHER * (uint64_t)p->widest + 1, sizeof *b->features, &size);
    b->sums = part(arena, MNZ_TOGETHER * (uint64_t)p->widest, sizeof *b->sums, &size);
    b->out = part(arena, MNZ_TOGETHER * 3 * MNZ_COMPONENTS_MAX, sizeof *b->out, &size);
    b->moved = part(arena, MNZ_TOGETHER * MNZ_COMPONENTS_MAX, sizeof *b->moved, &size);
    return size;
}

/* ---- Inputs ---- */

static int16_t *canvas_at(const batch *b, int row, int column)
{
    return b->canvas + (ptrdiff_t)(row + UP) * b->stride + column + LEFT;
}

/* The whole quarters of octaves of a number from 1 on. */
static int quarters(uint32_t number)
{
    int exponent = 0;
    while (number >> exponent > 1) exponent++;
    return 4 * exponent + (int)((4 * number >> exponent) & 3);
}

/* The median prediction of a pixel. Source: Weinberger et al. 2000 (LOCO-I, JPEG-LS). */
static int32_t predict(const int16_t *at, ptrdiff_t stride)
{
    const int32_t left = at[-1], above = at[-stride], corner = at[-stride - 1];
    const int32_t low = left < above ? left : above, high = left < above ? above : left;
    if (left == UNKNOWN) return above == UNKNOWN ? FIRST_PREDICTION : above;
    if (above == UNKNOWN) return left;
    return corner >= high ? low : corner <= low ? high : left + above - corner;
}

/* Of the nearest pixels. */
static int32_t spread_of(const int16_t *at, ptrdiff_t stride, int32_t prediction)
{
    const int16_t nearest[] = {at[-2],          at[-1],          at[-stride - 1], at[-stride],
                               at[-stride + 1], at[-stride + 2], at[-2 * stride], at[-2 * stride + 1]};
    uint32_t sum = 1;
    for (size_t k = 0; k < sizeof nearest / sizeof *nearest; k++) {
        const int32_t difference = nearest[k] == UNKNOWN ? 0 : nearest[k] - prediction;
        sum += (uint32_t)(difference < 0 ? -difference : difference);
    }
    return quarters(sum);
}

/* Predictions, spreads and inputs of all pixels. */
static void look(batch *b)
{
    const mnz_grey_pixels *p = &b->model->grey_pixels;
    int16_t seen[COPIED + RUN_MAX] = {0};
    for (int k = 0; k < b->pixels; k++) {
        const int16_t *at = canvas_at(b, b->row[k], b->column[k]);
        int16_t *out = seen;
        for (int r = 0; r <= UP; r++) { /* the next row overwrites what is copied too much */
            memcpy(out, at - window[r].up * b->stride - window[r].left, RUN_MAX * sizeof *out);
            out += window[r].length;
        }
        b->prediction[k] = predict(at, b->stride);
        b->spread[k] = spread_of(at, b->stride, b->prediction[k]);
        const int32_t factor = p->magnify[b->spread[k]];
        b->model->kernels->magnify(seen, b->prediction[k], factor < FACTOR_MAX ? factor : FACTOR_MAX, COPIED, b->x + k * MNZ_WINDOW);
    }
}

/* ---- Networks ---- */

/* first + the products of a layer with the inputs of all pixels, to `sums`. */
static void multiply(const batch *b, const mnz_affine *layer, const int16_t *x, const int32_t *first, int first_stride)
{
    static const ptrdiff_t here[1] = {0};
    int32_t offset[MNZ_TOGETHER];
    for (int k = 0; k < b->pixels; k++) offset[k] = k * layer->weight.inputs;
    mnz_products_at(b->model, x, offset, b->pixels, here, &layer->weight, first, first_stride, b->sums);
}

static void settle(const batch *b, const mnz_affine *layer)
{
    b->model->kernels->settle(b->sums, mnz_stride(&layer->weight), b->pixels, layer->shift, layer->weight.outputs, 0, MNZ_ACTIVATION_MAX,
                              b->features);
}

static void settle_wide(const batch *b, const mnz_affine *layer, int32_t largest, int32_t *out)
{
    b->model->kernels->settle_wide(b->sums, mnz_stride(&layer->weight), b->pixels, layer->shift, layer->weight.outputs, -largest, largest,
                                   out);
}

/* The number of a distance from an edge. */
static ptrdiff_t distance_of(int pixels)
{
    return mnz_smaller(pixels, MNZ_DISTANCES - 1);
}

/* What is added to the products of the first layer, to `sums`. */
static void add_tables(const batch *b)
{
    const mnz_grey_pixels *p = &b->model->grey_pixels;
    const int stride = mnz_stride(&p->enter.weight);
    for (int k = 0; k < b->pixels; k++) {
        const int32_t *const rows[MNZ_ROWS] = {
            b->bias,
            p->spread + (ptrdiff_t)b->spread[k] * stride,
            p->prediction + (ptrdiff_t)(b->prediction[k] >> 2) * stride,
            p->rows + distance_of(b->row[k]) * stride,
            p->left + distance_of(b->column[k]) * stride,
            p->right + distance_of(b->width - 1 - b->column[k]) * stride,
        };
        b->model->kernels->sum_rows(rows, stride, b->sums + (ptrdiff_t)k * stride);
    }
}

/* The outputs of the head, and what the linear layer adds to the means. */
static void compute(batch *b)
{
    const mnz_grey_pixels *p = &b->model->grey_pixels;
    const int stride = mnz_stride(&p->enter.weight), head_stride = mnz_stride(&p->head.weight);
    look(b);
    multiply(b, &p->linear, b->x, p->linear.bias, 0);
    settle_wide(b, &p->linear, MNZ_SUM_MAX, b->moved);
    add_tables(b);
    multiply(b, &p->enter, b->x, b->sums, stride);
    settle(b, &p->enter);
    for (int k = 0; k < 2; k++) {
        multiply(b, &p->middle[k], b->features, p->middle[k].bias, 0);
        settle(b, &p->middle[k]);
    }
    for (int k = 0; k < b->pixels; k++)
        for (int o = 0; o < head_stride; o++)
            b->sums[k * head_stride + o] = b->head_bias[o] + p->head_spread[b->spread[k] * head_stride + o];
    multiply(b, &p->head, b->features, b->sums, head_stride);
    settle_wide(b, &p->head, HEAD_MAX, b->out);
}

/* ---- Distributions ---- */

static mixture mixture_of(const batch *b, int pixel)
{
    const mnz_grey_pixels *p = &b->model->grey_pixels;
    const int components = p->components, spread = b->spread[pixel];
    const int32_t *logit = b->out + (ptrdiff_t)pixel * 3 * components, *move = logit + components, *scale = move + components;
    const int32_t *linear = b->moved + (ptrdiff_t)pixel * components;
    mixture m;
    int32_t largest = logit[0];
    uint32_t total = 0;
    for (int c = 1; c < components; c++) largest = logit[c] > largest ? logit[c] : largest;
    for (int c = 0; c < components; c++) {
        const int64_t moved = ((int64_t)move[c] + linear[c]) * p->amplitude[spread] + (1 << (AMPLITUDE_BITS - 1));
        const int64_t mean = (b->prediction[pixel] << MEAN_BITS) + (moved >> AMPLITUDE_BITS);
        const int32_t index = (scale[c] + (1 << (SCALE_BITS - 1))) >> SCALE_BITS;
        m.mean[c] = (int32_t)mnz_clip64(mean, MEAN_LOW, MEAN_HIGH);
        m.inverse_scale[c] = p->inverse_scale[mnz_clip(index, 0, MNZ_SCALES - 1)];
        m.weight[c] = mnz_octaves[mnz_smaller(largest - logit[c], MNZ_LAST_OCTAVE)];
        total += (uint32_t)m.weight[c];
    }
    for (int c = 0; c < components; c++) m.weight[c] = (int32_t)(((uint64_t)m.weight[c] << WEIGHT_BITS) / total);
    return m;
}

/* The cumulative frequency below a symbol. */
static uint32_t below(const batch *b, const mixture *m, int symbol)
{
    const mnz_grey_pixels *p = &b->model->grey_pixels;
    const int count = b->levels.count;
    if (symbol <= 0) return 0;
    if (symbol >= count) return MNZ_TOTAL;
    const int32_t edge = b->levels.edge[symbol];
    int64_t share = 0;
    for (int c = 0; c < p->components; c++) {
        const int64_t distance = ((int64_t)(edge - 2 * m->mean[c]) * m->inverse_scale[c]) >> SCALE_SHIFT;
        const int32_t at = (int32_t)mnz_clip64(distance, -REACH, REACH - 1) + REACH, rest = at & ((1 << SEGMENT_BITS) - 1);
        const int32_t *table = p->cumulative + (at >> SEGMENT_BITS);
        share += (int64_t)(table[0] * (1 << SEGMENT_BITS) + (table[1] - table[0]) * rest) * m->weight[c];
    }
    return (uint32_t)(((share >> WEIGHT_BITS) * (MNZ_TOTAL - count)) >> (MNZ_TOTAL_BITS + SEGMENT_BITS)) + (uint32_t)symbol;
}

/* The symbol next to the mean of the component of the largest weight. */
static int guess(const batch *b, const mixture *m)
{
    int heaviest = 0;
    for (int c = 1; c < b->model->grey_pixels.components; c++) heaviest = m->weight[c] > m->weight[heaviest] ? c : heaviest;
    return b->levels.symbol[mnz_clip((m->mean[heaviest] + (1 << (MEAN_BITS - 1))) >> MEAN_BITS, 0, 255)];
}

/* The symbol whose interval holds a number, and the interval. From a guess on, steps double until they pass it, then halve. */
static int find(const batch *b, const mixture *m, uint32_t slot, mnz_interval *interval)
{
    int first = guess(b, m), last = first;
    uint32_t start = below(b, m, first), end = below(b, m, first + 1);
    if (slot < start) { /* first is too large */
        int stride = 1;
        do {
            last = first - 1, end = start;
            first -= stride, stride *= 2;
            start = below(b, m, first);
        } while (slot < start);
    } else if (slot >= end) {
        int stride = 1;
        do {
            first = last + 1, start = end;
            last += stride, stride *= 2;
            end = below(b, m, last + 1);
        } while (slot >= end);
    }
    while (first < last) { /* below(first) <= slot < below(last + 1) */
        const int half = first + (last - first + 1) / 2;
        const uint32_t edge = below(b, m, half);
        if (edge <= slot)
            first = half, start = edge;
        else
            last = half - 1, end = edge;
    }
    *interval = (mnz_interval){start, end - start};
    return first;
}

/* ---- Visits of all pixels ---- */

static void visit_batch(batch *b)
{
    if (b->pixels) compute(b);
    for (int k = 0; k < b->pixels; k++) b->visit(b->context, b, k);
    b->pixels = 0;
}

/* Visit the pixels of an image in coding order. */
static void visit_image(batch *b)
{
    const int steps = b->width + ROW_STEPS * (b->height - 1);
    for (int step = 0; step < steps; step++) {
        const int first = step < b->width ? 0 : (step - b->width) / ROW_STEPS + 1;
        const int last = mnz_smaller(step / ROW_STEPS, b->height - 1);
        for (int row = first; row <= last; row++) {
            if (b->pixels == MNZ_TOGETHER) visit_batch(b);
            b->row[b->pixels] = row;
            b->column[b->pixels++] = step - ROW_STEPS * row;
        }
        if (!b->known) visit_batch(b);
    }
    visit_batch(b);
}

static alphabet alphabet_of(int max_error)
{
    alphabet a = {0, {0}, {0}, {0}};
    for (int grey = 0; grey < 256; grey++) {
        if (mnz_nearest_level(grey, max_error) != grey) continue;
        if (a.count) a.edge[a.count] = (a.level[a.count - 1] + grey) << MEAN_BITS;
        a.level[a.count] = (uint8_t)grey;
        a.symbol[grey] = (uint8_t)a.count++;
    }
    for (int grey = 0; grey < 256; grey++) a.symbol[grey] = a.symbol[mnz_nearest_level(grey, max_error)];
    return a;
}

static void add_rows(const int32_t *one, const int32_t *other, int count, int32_t *out)
{
    for (int k = 0; k < count; k++) out[k] = one[k] + other[k];
}

/* Make a batch ready for an image, all of whose grey levels are unknown. */
static batch begin(const mnz_model *model, int height, int width, int max_error, void *workspace, size_t size)
{
    const mnz_grey_pixels *p = &model->grey_pixels;
    const int stride = mnz_stride(&p->enter.weight), head_stride = mnz_stride(&p->head.weight);
    const ptrdiff_t error = quarters((uint32_t)max_error + 1);
    mnz_arena arena = mnz_arena_of(workspace, size);
    batch b = {0};
    b.model = model, b.height = height, b.width = width, b.stride = (ptrdiff_t)width + LEFT;
    b.levels = alphabet_of(max_error);
    take_parts(&b, &arena);
    memset(b.canvas, 0xff, (size_t)canvas_size(height, width) * sizeof *b.canvas);
    add_rows(p->enter.bias, p->error + error * stride, stride, b.bias);
    add_rows(p->head.bias, p->head_error + error * head_stride, head_stride, b.head_bias);
    return b;
}

/* ---- Public functions ---- */

size_t mnz_image_pixels_workspace(const mnz_model *model, int height, int width)
{
    if (model->kind != MNZ_KIND_GREY || !model->has_pixels) return 0;
    if (height < 1 || width < 1 || height > SIDE_MAX || width > SIDE_MAX) return 0;
    batch b = {0};
    b.model = model, b.height = height, b.width = width;
    const uint64_t size = take_parts(&b, NULL);
    return size > SIZE_MAX / 2 ? 0 : (size_t)size;
}

static mnz_status check(const mnz_model *model, int height, int width, int max_error, const void *workspace, size_t size)
{
    if (model->kind != MNZ_KIND_GREY) return MNZ_ERROR_KIND;
    if (!model->has_pixels) return MNZ_ERROR_NO_PIXEL_MODEL;
    if (height < 1 || width < 1 || height > SIDE_MAX || width > SIDE_MAX) return MNZ_ERROR_ARGUMENT;
    if (max_error < 0 || max_error > MNZ_ERROR_MAX) return MNZ_ERROR_ARGUMENT;
    const size_t needed = mnz_image_pixels_workspace(model, height, width);
    if (!needed || size < needed || workspace == NULL || (uintptr_t)workspace % MNZ_ALIGNMENT) return MNZ_ERROR_MEMORY;
    return MNZ_OK;
}

typedef struct {
    uint16_t *start, *freq_less_one;
} intervals;

static void note(void *context, batch *b, int pixel)
{
    intervals *out = context;
    const mixture m = mixture_of(b, pixel);
    const int symbol = b->levels.symbol[*canvas_at(b, b->row[pixel], b->column[pixel])];
    const uint32_t start = below(b, &m, symbol);
    *out->start++ = (uint16_t)start;
    *out->freq_less_one++ = (uint16_t)(below(b, &m, symbol + 1) - start - 1);
}

mnz_status mnz_image_pixel_symbols(const mnz_model *model, const uint8_t *x, int height, int width, int max_error, uint16_t *start,
                                   uint16_t *freq_less_one, void *workspace, size_t size)
{
    const mnz_status status = check(model, height, width, max_error, workspace, size);
    if (status != MNZ_OK) return status;
    batch b = begin(model, height, width, max_error, workspace, size);
    for (int row = 0; row < height; row++) {
        int16_t *to = canvas_at(&b, row, 0);
        for (int column = 0; column < width; column++, x++) {
            if (b.levels.level[b.levels.symbol[*x]] != *x) return MNZ_ERROR_ARGUMENT;
            to[column] = *x;
        }
    }
    intervals out = {start, freq_less_one};
    b.known = 1, b.visit = note, b.context = &out;
    visit_image(&b);
    return MNZ_OK;
}

typedef struct {
    mnz_decoder decoder;
    uint8_t *x;
} decoding;

static void decode(void *context, batch *b, int pixel)
{
    decoding *d = context;
    const mixture m = mixture_of(b, pixel);
    mnz_interval interval;
    const int grey = b->levels.level[find(b, &m, mnz_slot(&d->decoder), &interval)];
    mnz_advance(&d->decoder, interval);
    *canvas_at(b, b->row[pixel], b->column[pixel]) = (int16_t)grey;
    d->x[(size_t)b->row[pixel] * (size_t)b->width + (size_t)b->column[pixel]] = (uint8_t)grey;
}

mnz_status mnz_decode_pixel_images(const mnz_model *model, const uint8_t *stream, size_t stream_size, int max_error, int images,
                                   const int32_t *shapes, uint8_t *x, mnz_final *final, void *workspace, size_t size)
{
    if (images < 0) return MNZ_ERROR_ARGUMENT;
    for (int k = 0; k < images; k++) {
        const mnz_status status = check(model, shapes[2 * k], shapes[2 * k + 1], max_error, workspace, size);
        if (status != MNZ_OK) return status;
    }
    decoding d = {{0, NULL, NULL}, x};
    const mnz_status status = mnz_decoder_begin(&d.decoder, stream, stream_size);
    if (status != MNZ_OK) return status;
    for (int k = 0; k < images; k++, shapes += 2) {
        batch b = begin(model, shapes[0], shapes[1], max_error, workspace, size);
        b.visit = decode, b.context = &d;
        visit_image(&b);
        d.x += (size_t)shapes[0] * (size_t)shapes[1];
    }
    *final = mnz_decoder_end(&d.decoder);
    return MNZ_OK;
}
