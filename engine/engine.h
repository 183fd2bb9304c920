/* What the files of the engine share. Names of FORMAT.md are used; the section is given where a type begins. */
#ifndef MNZ_ENGINE_H
#define MNZ_ENGINE_H

#include "kernels.h"
#include "mnistzip.h"

enum {
    MNZ_SIDE = 7,                   /* of the latent */
    MNZ_CHANNELS = 4,
    MNZ_POSITIONS = MNZ_SIDE * MNZ_SIDE,
    MNZ_ACTIVATION_MAX = 1023,
    MNZ_LAYERS_MAX = 200,           /* of a network */
    MNZ_SUM_MAX = 1 << 24,          /* no sum exceeds this */
    MNZ_GRADIENT_MAX = 511,         /* of a rounded gradient in a product */
    MNZ_VALUES_MAX = 255,           /* of the alphabet of a symbol */
    MNZ_LOGIT_LOW = -32768,
    MNZ_LOGIT_HIGH = 32767,
    MNZ_TOTAL_BITS = 16,
    MNZ_TOTAL = 1 << MNZ_TOTAL_BITS, /* the frequencies of an alphabet sum to this */
    MNZ_STATE_LOW = 1 << 23,        /* a state below this takes in a byte, if the stream has one left */
    MNZ_PLANES = 4,
    MNZ_HIDDEN = 3,                 /* hidden layers of the network of a plane */
    MNZ_WIDTH_MAX = 512,            /* of such a layer */
    MNZ_PLANE_INPUTS_MAX = 362,
    MNZ_KEY_MAX = 32,
    MNZ_RANGES = 9,                 /* of shades: those of the levels, and the solid one */
    MNZ_SHADES = 32
};

/* ---- Memory ---- */

/* Hands out aligned parts of a workspace. Once it is used up, `failed` is set, and it hands out NULL. */
typedef struct {
    unsigned char *at;
    size_t left;
    int failed;
} mnz_arena;

mnz_arena mnz_arena_of(void *memory, size_t size);
void *mnz_take(mnz_arena *arena, size_t count, size_t item);
size_t mnz_aligned(size_t size);

/* ---- Sections 1 and 5: headers and checks ---- */

int mnz_header_valid(const mnz_header *h);

/* Numbers of 7 bits a byte; reads one in its shortest form, and returns 0 if there is none up to a limit. */
size_t mnz_write_varint(uint32_t value, uint8_t *out);
int mnz_read_varint(const uint8_t **at, const uint8_t *end, uint32_t limit, uint32_t *value);

/* The check of a stream of a file: its header, the number of the stream, and its content. */
uint32_t mnz_check_of(const mnz_header *h, uint32_t stream, const void *content, size_t size);

/* ---- Section 4: networks ---- */

typedef struct {
    int32_t low, high;
} mnz_range;

enum mnz_op {
    MNZ_CONV = 1,
    MNZ_GAIN,
    MNZ_RESIDUAL,
    MNZ_SPACE_TO_DEPTH,
    MNZ_DEPTH_TO_SPACE,
    MNZ_MAX_POOL,
    MNZ_UPSAMPLE,
    MNZ_LOOKUP,
    MNZ_DEPTHWISE,
    MNZ_PARALLEL
};

/* An array of height x width x channels integers within a range. For models of the kind grey, height and width are those of a
   latent of 7 x 7. */
typedef struct {
    int height, width, channels;
    mnz_range range;
} mnz_signal;

static inline size_t mnz_size(const mnz_signal *signal)
{
    return (size_t)signal->height * signal->width * signal->channels;
}

/* Products with rounded gradients: weight * 2^exponent is about the weight of a layer, transposed. */
typedef struct {
    mnz_matrix weight;
    int exponent;
} mnz_gradient;

typedef struct {
    int op;
    int inner, inner_last;      /* of a residual: how many of the layers that follow are inside, and the last of their chain */
    int split, other_last;      /* of a parallel: how many of those are of its first chain, and the last of the second one */
    int before;                 /* the layer before it in its chain, -1 for the first */
    mnz_signal in, out;
    size_t tape;                /* where its output lies on the tape */

    int kernel;                 /* of a convolution, also if depthwise */
    mnz_matrix weight;
    int places;                 /* of its bias: 1, or height * width */
    const int32_t *place, *quality, *shift; /* place holds the half that rounds */
    mnz_gradient gradient;      /* from outputs to inputs */

    /* Of a depthwise convolution, either rows of its kernel in pairs, for two output rows: {0, 1}, {2, 3}, ... {last, none} for the
       upper one and {none, 0}, {1, 2}, ... for the lower one, [block][pair][kernel column][upper, lower][16][2]; or, if weights or
       inputs need more than 16 bits, and always in models of tiles, [kernel row][kernel column][channel]. */
    const int16_t *paired;
    const int32_t *taps;

    const int32_t *factor;      /* of a gain */
    int size;                   /* of squares */
    int low, entries;           /* of a lookup */
    const int32_t *table;
} mnz_layer;

/* Layers in the order of their work, those inside a residual or a parallel behind it. */
typedef struct {
    int count, last;            /* layers, and the last of the outer chain */
    mnz_layer *layer;
    size_t tape;                /* numbers that all outputs take */
    size_t scratch;             /* bytes that a convolution takes at most, with its gradient */
} mnz_network;

/* Space to depth, or its inverse: numbers of 32 bits, integers or float32, between squares and channels. deep: the array of the
   channels. */
void mnz_fold(const mnz_signal *deep, int size, const void *from, void *to, int inverse);

/* Bytes that a layer takes at most beside its input and output, forward or back. */
size_t mnz_layer_scratch(const mnz_layer *layer);

/* Compute all layers. Returns the output, which lies on the tape. */
const int32_t *mnz_forward(const mnz_model *model, const mnz_network *network, const int32_t *x, int quality_index, int32_t *tape,
                           mnz_arena scratch);

/* ---- Sections 3.1 and 3.2: frequencies and rANS ---- */

typedef struct {
    uint32_t start, freq;
} mnz_interval;

/* The weights of the values of an alphabet, and their sum. */
typedef struct {
    int values;
    uint64_t total, weight[MNZ_WEIGHED_MAX];
} mnz_cdf;

enum { MNZ_LAST_OCTAVE = 1344 };
extern const int32_t mnz_octaves[MNZ_LAST_OCTAVE + 1]; /* T of section 3.2 */

mnz_interval mnz_interval_of(const mnz_cdf *cdf, int value);
int mnz_most_probable(const mnz_cdf *cdf);

typedef struct {
    uint32_t x;
    const uint8_t *at, *end;
} mnz_decoder;

mnz_status mnz_decoder_begin(mnz_decoder *decoder, const uint8_t *stream, size_t size);
int mnz_decode_symbol(mnz_decoder *decoder, const mnz_cdf *cdf);
mnz_final mnz_decoder_end(const mnz_decoder *decoder);

/* Of states below 2^16: the number that an interval holds, and the state behind it. */
uint32_t mnz_spread_slot(uint32_t x);
uint32_t mnz_spread_after(uint32_t x, mnz_interval interval);

/* The number of 0 to 65535 that the interval of the next symbol holds. */
static inline uint32_t mnz_slot(const mnz_decoder *decoder)
{
    return decoder->x < MNZ_TOTAL ? mnz_spread_slot(decoder->x) : decoder->x & (MNZ_TOTAL - 1);
}

/* Steps 2 and 3 of section 3.1: go on behind a symbol. */
static inline void mnz_advance(mnz_decoder *decoder, mnz_interval interval)
{
    uint32_t x = decoder->x;
    if (x < MNZ_TOTAL)
        x = mnz_spread_after(x, interval);
    else
        x = interval.freq * (x >> MNZ_TOTAL_BITS) + (x & (MNZ_TOTAL - 1)) - interval.start;
    while (x < MNZ_STATE_LOW && decoder->at < decoder->end) x = x << 8 | *decoder->at++;
    decoder->x = x;
}

/* ---- Section 3.2: the prior ---- */

typedef struct {
    int low, values;
    int near, far;                  /* numbers of a position, and of a symbol */
    int near_stride, far_stride;    /* the same, rounded up to even */
    int head_stride;                /* values, rounded up to blocks */
    const int32_t *near_bias, *near_shift, *far_bias, *far_shift, *head_bias, *head_shift;
    mnz_matrix near_weight[MNZ_POSITIONS], far_weight[MNZ_POSITIONS], skip_weight[MNZ_POSITIONS], head_weight[MNZ_SYMBOLS];
    mnz_gradient far_to_near[MNZ_SIDE], near_to_symbols[MNZ_SIDE], far_to_symbols[MNZ_SIDE], logits_to_far[MNZ_SYMBOLS];
} mnz_prior;

/* The states of the prior for one latent, filled position by position. */
typedef struct {
    const mnz_model *model;
    int quality_index;
    int16_t *y;                     /* the symbols */
    int16_t *near, *far;
    int32_t *far_sums;
    mnz_sparse symbols, active;     /* of earlier positions: symbols and near that are not 0 */
} mnz_prior_state;

void mnz_prior_begin(mnz_prior_state *state, const mnz_model *model, int quality_index, mnz_arena *arena);
size_t mnz_prior_memory(const mnz_model *model);

/* Returns the value of a symbol, counted from the lowest, given its frequencies. */
typedef int (*mnz_visit)(void *context, int tile, int symbol, const mnz_cdf *cdf);

/* Visit the symbols of some latents, which take turns symbol by symbol. */
void mnz_prior_visit(mnz_prior_state *states, int tiles, mnz_visit visit, void *context);

/* Whether all symbols are of the model's alphabet. */
int mnz_within(const mnz_model *model, const int8_t *y, size_t symbols);

/* ---- Section 10: the pixel model ---- */

typedef struct {
    mnz_matrix weight;
    const int32_t *bias, *shift; /* the bias holds the half that rounds */
} mnz_affine;

typedef struct {
    int width;
    mnz_affine layer[MNZ_HIDDEN];
    const int32_t *rows, *columns;
    mnz_affine head[MNZ_RANGES]; /* one; of shades one for each range */
} mnz_plane;

typedef struct {
    mnz_plane plane[MNZ_PLANES];
    mnz_affine query, key;
    int key_size;
    const int32_t *levels, *blank;
} mnz_pixel_model;

/* ---- Models of the kind grey ---- */

enum {
    MNZ_GROUPS = 4,
    MNZ_GROUP = MNZ_GREY_CHANNELS / MNZ_GROUPS,     /* channels that are coded together */
    MNZ_SYMBOL_MAX = 127,
    MNZ_TABLES = 8,                 /* kinds of steps that see neighbours */
    MNZ_AROUND = 12,                /* neighbours */
    MNZ_SQUARE = 9,                 /* positions of the groups before that a position sees at most: 3 x 3 */
    MNZ_SEEN = 2 * MNZ_GROUP + 1,   /* numbers of a neighbour: logarithms, magnitudes, and whether it is within the latent */
    MNZ_LOG_MAX = 224,              /* of a symbol's logarithm */
    MNZ_SCALES = 64,
    MNZ_SEGMENTS = 1024,            /* of the table of cumulative probabilities */
    MNZ_GUESSES = 512
};

/* Weights for the channels of a group. Biases hold the half that rounds, and are rows of whole blocks. */
typedef struct {
    int hidden, narrow;
    mnz_matrix around[MNZ_TABLES], linear_around[MNZ_TABLES];  /* their runs are the neighbours */
    mnz_matrix before, linear_before;                          /* their runs are these of the 3 x 3 positions: */
    int before_tap[MNZ_SQUARE], linear_before_tap[MNZ_SQUARE];
    const int32_t *bias, *shift;                               /* [quality][1 + MNZ_TABLES][hidden]; [hidden] */
    mnz_matrix mix, head;
    const int32_t *mix_bias, *mix_shift, *gain, *head_bias, *head_shift;
    const int32_t *within;                                     /* [symbols, logarithms][means, scales] */
    const int32_t *linear_gain;
    int fits;                                                  /* whether 32 bits hold all sums of means and scales */
} mnz_group;

typedef struct {
    int step_shift, within_shift;
    const int32_t *bounds;          /* [quality][channel] */
    const int32_t *curvature;       /* [quality][channel]: for a search, squared error that a step of a symbol causes, in 16ths */
    const int32_t *cumulative, *inverse_scale;
    mnz_group group[MNZ_GROUPS];
    int halo;                       /* how many positions of a latent the networks see in each direction at most */
    int32_t guess[MNZ_GUESSES];     /* by probability, the distance from the mean in units of the table, about */
    int64_t scale[MNZ_SCALES];      /* 512ths of a symbol in a unit of the table, times 2^16 */
} mnz_grey;

/* ---- Section 13: the pixel model of models of the kind grey ---- */

enum {
    MNZ_WINDOW = 68,                /* pixels that a pixel sees */
    MNZ_SPREADS = 44,
    MNZ_BOUNDS = 25,                /* indices of a largest error */
    MNZ_PREDICTIONS = 64,
    MNZ_DISTANCES = 8,              /* from an edge of the image */
    MNZ_INPUT_MAX = 1023,
    MNZ_COMPONENTS_MAX = 16
};

/* Rows of biases and of tables are of whole blocks. */
typedef struct {
    mnz_affine enter, middle[2], head, linear;
    const int32_t *spread, *prediction, *error, *rows, *left, *right;   /* what is added to the bias of the first layer, */
    const int32_t *head_spread, *head_error;                            /* and to that of the head */
    const int32_t *magnify, *amplitude;                                 /* by spread */
    const int32_t *cumulative, *inverse_scale;
    int components, widest;         /* numbers of the largest row of sums */
} mnz_grey_pixels;

/* ---- Section 14: models of the kind bitmap ---- */

enum {
    MNZ_SEEN_UP = 10,               /* rows above a pixel of a bitmap that it sees, and columns to both sides */
    MNZ_SEEN_LEFT = 10,
    MNZ_SEEN_RIGHT = 8,
    MNZ_SEEN_ROW = MNZ_SEEN_LEFT + 1 + MNZ_SEEN_RIGHT,
    MNZ_SEEN_ALL = MNZ_SEEN_UP * MNZ_SEEN_ROW + MNZ_SEEN_LEFT,
    MNZ_BITMAP_EDGES = 4,           /* above, left, below, right */
    MNZ_BITMAP_DISTANCES = 64,      /* from an edge of the bitmap */
    MNZ_BITMAP_SIDES = MNZ_BITMAP_SIDE_MAX - MNZ_BITMAP_SIDE_MIN + 1,   /* values of the longer side */
    MNZ_BITMAP_DIFFERENCES = 256,                                       /* of the difference of the sides, and which is the longer one */
    MNZ_BITMAP_SHIFTS = MNZ_BITMAP_SHIFT_MAX - MNZ_BITMAP_SHIFT_MIN + 1,
    MNZ_BITMAP_SIDE_BITS = 4,       /* longer sides that differ in these bits only share a table of differences */
    MNZ_BITMAP_CLASSES = (MNZ_BITMAP_SIDE_MAX >> MNZ_BITMAP_SIDE_BITS) + 1
};

/* Rows of weights, biases and tables are of whole blocks. */
typedef struct {
    const int32_t *sides, *differences, *shifts;        /* cumulative frequencies */
    int width, stride;                                  /* of the first layer: outputs, and numbers of a row */
    const int32_t *reach;           /* [pixel of the window]: the sum of the weights of its row of the window, up to this pixel */
    const int32_t *bias, *shift;
    const int32_t *edges[MNZ_BITMAP_EDGES], *heights, *widths;          /* what is added to the bias */
    mnz_affine middle[2], head;
    int widest;                     /* numbers of the largest row of sums */
} mnz_bitmap_net;

/* ---- The model ---- */

enum mnz_kind { MNZ_KIND_TILES, MNZ_KIND_GREY, MNZ_KIND_BITMAP };

struct mnz_model {
    const mnz_kernels *kernels;
    int kind;
    int low, high, fine_shift;
    const int32_t *fine, *step, *lmbda;
    mnz_network analysis, synthesis;
    mnz_prior prior;
    int has_pixels;
    mnz_pixel_model pixels;
    mnz_grey grey; /* of the kind grey: what follows analysis and synthesis, in place of prior and pixel model above */
    mnz_grey_pixels grey_pixels;
    mnz_bitmap_net bitmaps; /* of the kind bitmap, which has nothing else */
};

/* The payload of a digit of a model of the kind bitmap, whose header is valid: what mnz_encode, mnz_measure and mnz_decode do. The arena
   has mnz_bitmap_file_workspace bytes, and no file has more than mnz_bitmap_file_bound. */
size_t mnz_bitmap_file_workspace(const mnz_model *model);
size_t mnz_bitmap_file_bound(void);
mnz_status mnz_bitmap_encode(const mnz_model *model, const mnz_header *h, const uint8_t *pixels, uint8_t *out, size_t capacity, size_t *size,
                             mnz_arena arena);
mnz_status mnz_bitmap_measure(const mnz_model *model, const mnz_header *h, const uint8_t *pixels, int64_t *bits, mnz_arena arena);
mnz_status mnz_bitmap_decode(const mnz_model *model, const mnz_header *h, const uint8_t *payload, size_t size, int check_bits,
                             uint8_t *pixels, mnz_arena arena);

/* Inputs of the network of each plane: 122 - 2 windows and so on, see section 10. */
extern const int mnz_plane_inputs[MNZ_PLANES], mnz_plane_outputs[MNZ_PLANES];
int mnz_plane_input_peak(int plane, int input);

/* ---- Products, for narrow and wide matrices ---- */

enum { MNZ_OUTPUTS_MAX = 512 };
extern const int32_t mnz_zeros[MNZ_OUTPUTS_MAX];

/* The rows of sums that a matrix makes. */
static inline int mnz_stride(const mnz_matrix *matrix)
{
    return matrix->blocks * MNZ_BLOCK;
}

void mnz_products(const mnz_model *model, const int16_t *x, const int32_t *offset, int places, ptrdiff_t run_stride,
                  const mnz_matrix *matrix, int32_t *sums);
void mnz_products_at(const mnz_model *model, const int16_t *x, const int32_t *offset, int places, const ptrdiff_t *start,
                     const mnz_matrix *matrix, const int32_t *first, ptrdiff_t first_stride, int32_t *sums);
void mnz_sparse_products(const mnz_model *model, const mnz_sparse *x, const mnz_matrix *matrix, int32_t *sums);

/* Append the pairs of x that are not zero. */
void mnz_sparse_add(mnz_sparse *sparse, const int16_t *x, int first_pair, int pairs);

static inline int32_t mnz_clip(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

#endif
