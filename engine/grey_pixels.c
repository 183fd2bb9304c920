/*
 * FORMAT.md, section 13: the pixel model of models of the kind grey, which codes every pixel of an image without loss or within a bound.
 *
 * The pixels of a step do not see each other, so a decoder computes them together. An encoder computes those of many steps together.
 */
#include "grey.h"

#include <string.h>

enum {
    ROW_STEPS = 3,                      /* steps from a pixel to the one below it */
    RUN_MAX = 16,                       /* pixels of a row that are copied, of which a window has fewer */
    COPIED = 80,                        /* of a window, in whole blocks */
    UNKNOWN = -1,                       /* the grey level of pixels beyond the image */
    FIRST_PREDICTION = 128,
    MEAN_BITS = 8,
    FACTOR_MAX = 1 << 18,               /* larger ones clip all differences but 0 as this one does */
    HEAD_MAX = 1 << 16
};

/* Rows of a window: where they begin, as rows above the pixel and columns to the left of it, and how many pixels they have. */
static const struct {
    int8_t up, left, length;
} window[MNZ_CANVAS_UP + 1] = {{0, 8, 8}, {1, 7, 10}, {2, 6, 12}, {3, 5, 11}, {4, 5, 11}, {5, 4, 9}, {6, 3, 7}};

/* ---- Memory ---- */

static uint64_t canvas_size(int height, int width)
{
    return (uint64_t)(height + MNZ_CANVAS_UP) * (uint64_t)(width + MNZ_CANVAS_LEFT) + RUN_MAX;
}

static void *part(mnz_arena *arena, uint64_t count, size_t item, uint64_t *size)
{
    *size += (count * item + MNZ_ALIGNMENT - 1) / MNZ_ALIGNMENT * MNZ_ALIGNMENT;
    return arena ? mnz_take(arena, (size_t)count, item) : NULL;
}

/* Take the arrays of a batch and return their size; without an arena they are only measured. */
static uint64_t take_parts(mnz_pixel_batch *b, mnz_arena *arena)
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
static void look(mnz_pixel_batch *b)
{
    const mnz_grey_pixels *p = &b->model->grey_pixels;
    int16_t seen[COPIED + RUN_MAX] = {0};
    for (int k = 0; k < b->pixels; k++) {
        const int16_t *at = mnz_canvas_at(b, b->row[k], b->column[k]);
        int16_t *out = seen;
        for (int r = 0; r <= MNZ_CANVAS_UP; r++) { /* the next row overwrites what is copied too much */
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
static void multiply(const mnz_pixel_batch *b, const mnz_affine *layer, const int16_t *x, const int32_t *first, int first_stride)
{
    static const ptrdiff_t here[1] = {0};
    int32_t offset[MNZ_TOGETHER];
    for (int k = 0; k < b->pixels; k++) offset[k] = k * layer->weight.inputs;
    mnz_products_at(b->model, x, offset, b->pixels, here, &layer->weight, first, first_stride, b->sums);
}

static void settle(const mnz_pixel_batch *b, const mnz_affine *layer)
{
    b->model->kernels->settle(b->sums, mnz_stride(&layer->weight), b->pixels, layer->shift, layer->weight.outputs, 0, MNZ_ACTIVATION_MAX,
                              b->features);
}

static void settle_wide(const mnz_pixel_batch *b, const mnz_affine *layer, int32_t largest, int32_t *out)
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
static void add_tables(const mnz_pixel_batch *b)
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
static void compute(mnz_pixel_batch *b)
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

/* ---- Batches ---- */

static mnz_levels levels_of(int max_error)
{
    mnz_levels a = {0, {0}, {0}, {0}};
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

uint64_t mnz_pixels_memory(const mnz_model *model, int height, int width)
{
    mnz_pixel_batch b = {0};
    b.model = model, b.height = height, b.width = width;
    return take_parts(&b, NULL);
}

mnz_pixel_batch mnz_pixels_begin(const mnz_model *model, int height, int width, int max_error, void *workspace, size_t size)
{
    const mnz_grey_pixels *p = &model->grey_pixels;
    const int stride = mnz_stride(&p->enter.weight), head_stride = mnz_stride(&p->head.weight);
    const ptrdiff_t error = quarters((uint32_t)max_error + 1);
    mnz_arena arena = mnz_arena_of(workspace, size);
    mnz_pixel_batch b = {0};
    b.model = model, b.height = height, b.width = width, b.stride = (ptrdiff_t)width + MNZ_CANVAS_LEFT;
    b.levels = levels_of(max_error);
    take_parts(&b, &arena);
    memset(b.canvas, 0xff, (size_t)canvas_size(height, width) * sizeof *b.canvas); /* UNKNOWN */
    add_rows(p->enter.bias, p->error + error * stride, stride, b.bias);
    add_rows(p->head.bias, p->head_error + error * head_stride, head_stride, b.head_bias);
    return b;
}

static void visit_batch(mnz_pixel_batch *b, mnz_visit_pixel visit, void *context)
{
    if (b->pixels) compute(b);
    for (int k = 0; k < b->pixels; k++) visit(context, b, k);
    b->pixels = 0;
}

void mnz_pixels_visit(mnz_pixel_batch *b, int known, mnz_visit_pixel visit, void *context)
{
    const int steps = b->width + ROW_STEPS * (b->height - 1);
    for (int step = 0; step < steps; step++) {
        const int first = step < b->width ? 0 : (step - b->width) / ROW_STEPS + 1;
        const int last = mnz_smaller(step / ROW_STEPS, b->height - 1);
        for (int row = first; row <= last; row++) {
            if (b->pixels == MNZ_TOGETHER) visit_batch(b, visit, context);
            b->row[b->pixels] = row;
            b->column[b->pixels++] = step - ROW_STEPS * row;
        }
        if (!known) visit_batch(b, visit, context);
    }
    visit_batch(b, visit, context);
}
