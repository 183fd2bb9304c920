/* Reading prepared models, and bounding the sums of their matrices: what the files that load a model share. */
#ifndef MNZ_READER_H
#define MNZ_READER_H

#include "engine.h"

enum { MNZ_RECORD = 16, MNZ_SHIFT_MAX = 30, MNZ_SIGNAL_MAX = 1 << 17 };

typedef struct {
    const unsigned char *at, *end;
    mnz_status status;
} mnz_reader;

/* Once something failed, everything that is read is NULL, and records are zero. */
void mnz_fail(mnz_reader *r, mnz_status status);

/* The next array, or NULL. */
const void *mnz_read(mnz_reader *r, size_t count, size_t item);
const int32_t *mnz_read_numbers(mnz_reader *r, size_t count);
const int32_t *mnz_read_record(mnz_reader *r);

/* Numbers that are 0 to MNZ_SHIFT_MAX. */
const int32_t *mnz_read_shifts(mnz_reader *r, size_t count);

static inline int64_t mnz_magnitude(int32_t value)
{
    return value < 0 ? -(int64_t)value : value;
}

static inline int64_t mnz_peak(mnz_range range)
{
    int64_t low = mnz_magnitude(range.low), high = mnz_magnitude(range.high);
    return low > high ? low : high;
}

/* ---- Matrices and sums ---- */

mnz_matrix mnz_read_matrix(mnz_reader *r, int runs, int inputs, int outputs, int wide);
int32_t mnz_weight(const mnz_matrix *m, int run, int input, int output);

/* The largest magnitude of each input of a run, or of all inputs. */
typedef struct {
    int64_t all;
    const int64_t *each;
} mnz_peaks;

/* Add the largest magnitude of the products for each output. Narrow matrices need inputs of 16 bits. Padding must be 0. */
void mnz_bound_products(mnz_reader *r, const mnz_matrix *m, mnz_peaks input, int64_t *sums);

/* Add the largest magnitudes of the columns of a bias, whose rows are stride numbers apart. */
void mnz_bound_bias(mnz_reader *r, const int32_t *bias, size_t rows, size_t stride, int outputs, int64_t *sums);

void mnz_require_bounded(mnz_reader *r, const int64_t *sums, int outputs);

/* Rows of whole blocks that are added to a bias of some outputs. Their padding is 0, so that sums of rows cannot overflow there, either. */
const int32_t *mnz_read_rows(mnz_reader *r, int outputs, size_t rows, int64_t *sums);

/* A layer whose inputs reach a peak. Sets `sums` to what its sums reach without the tables that follow it. */
mnz_affine mnz_read_dense(mnz_reader *r, int inputs, int outputs, int wide, int peak, int64_t *sums);

/* ---- Models of the kind bitmap ---- */

/* All behind the first record. reach: room for MNZ_SEEN_ALL * MNZ_WIDTH_MAX numbers, which stay with the model. */
void mnz_read_bitmap_net(mnz_reader *r, mnz_bitmap_net *net, int32_t *reach, int64_t *sums);

#endif
