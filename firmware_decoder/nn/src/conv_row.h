/* One output channel of a convolution, for all positions. */
#ifndef NCD_NN_CONV_ROW_H
#define NCD_NN_CONV_ROW_H

#include "axis.h"
#include "requantize.h"

typedef struct ncd_nn_conv {
    const ncd_nn_conv_s8 *layer;
    const int8_t *in;
    int8_t *out;
    ncd_nn_axis y, x;
    uint32_t channels;    /* in / groups */
    size_t in_row;        /* bytes of a row of the input */
    int32_t *tap_sums;    /* of the weights of each tap; null: there is one channel, or the zero point is 0 */
} ncd_nn_conv;

/* A rectangle of outputs that have the same taps inside. */
typedef struct ncd_nn_patch {
    ncd_nn_span y, x;
} ncd_nn_patch;

/* Takes over a layer whose window is good. */
void ncd_nn_conv_begin(ncd_nn_conv *c, const ncd_nn_conv_s8 *layer, const int8_t *in, int8_t *out);

/* The first patch, or the one after another; 0: there is no more. */
int ncd_nn_patch_next(const ncd_nn_conv *c, ncd_nn_patch *p, int first);

/* Where a patch's first output reads. */
static inline const int8_t *ncd_nn_patch_in(const ncd_nn_conv *c, const ncd_nn_patch *p)
{
    return c->in + p->y.origin * c->in_row + (size_t)p->x.origin * c->layer->window.in_c;
}

/* And where it writes. */
static inline int8_t *ncd_nn_patch_out(const ncd_nn_conv *c, const ncd_nn_patch *p)
{
    return c->out + ((size_t)p->y.begin * c->x.out + p->x.begin) * c->layer->window.out_c;
}

/* Output channel `row` from its weights, [tap][channel]. */
void ncd_nn_conv_row(const ncd_nn_conv *c, uint32_t row, const int8_t *weights);

#endif
