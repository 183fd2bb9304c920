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
    MNZ_SUM_MAX = 1 << 24,          /* no sum exceeds this */
    MNZ_GRADIENT_MAX = 511,         /* of a rounded gradient in a product */
    MNZ_VALUES_MAX = 255,           /* of the alphabet of a symbol */
    MNZ_LOGIT_LOW = -32768,
    MNZ_LOGIT_HIGH = 32767,
    MNZ_TOTAL_BITS = 16,
    MNZ_TOTAL = 1 << MNZ_TOTAL_BITS, /* the frequencies of an alphabet sum to this */
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
    MNZ_LOOKUP
};

/* An array of height x width x channels integers within a range. */
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
    int before;                 /* the layer before it in its chain, -1 for the first */
    mnz_signal in, out;
    size_t tape;                /* where its output lies on the tape */

    int kernel;                 /* of a convolution */
    mnz_matrix weight;
    int places;                 /* of its bias: 1, or height * width */
    const int32_t *place, *quality, *shift; /* place holds the half that rounds */
    mnz_gradient gradient;      /* from outputs to inputs */

    const int32_t *factor;      /* of a gain */
    int size;                   /* of squares */
    int low, entries;           /* of a lookup */
    const int32_t *table;
} mnz_layer;

/* Layers in the order of their work, those inside a residual behind it. */
typedef struct {
    int count, last;            /* layers, and the last of the outer chain */
    mnz_layer *layer;
    size_t tape;                /* numbers that all outputs take */
    size_t scratch;             /* bytes that a convolution takes at most, with its gradient */
} mnz_network;

/* Space to depth, or its inverse: numbers of 32 bits, integers or float32, between squares and channels. deep: the array of the
   channels. */
void mnz_fold(const mnz_signal *deep, int size, const void *from, void *to, int inverse);

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

/* ---- The model ---- */

struct mnz_model {
    const mnz_kernels *kernels;
    int low, high, fine_shift;
    const int32_t *fine, *step, *lmbda;
    mnz_network analysis, synthesis;
    mnz_prior prior;
    int has_pixels;
    mnz_pixel_model pixels;
};

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
void mnz_sparse_products(const mnz_model *model, const mnz_sparse *x, const mnz_matrix *matrix, int32_t *sums);

/* Append the pairs of x that are not zero. */
void mnz_sparse_add(mnz_sparse *sparse, const int16_t *x, int first_pair, int pairs);

static inline int32_t mnz_clip(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

#endif
