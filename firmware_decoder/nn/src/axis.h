/* How a window moves along one axis: which of its taps are inside the input, for which outputs. */
#ifndef NCD_NN_AXIS_H
#define NCD_NN_AXIS_H

#include "common.h"

typedef struct ncd_nn_axis {
    uint32_t in, out, kernel, stride, dilation, pad;
    uint32_t inner_begin, inner_end; /* outputs whose taps are all inside */
} ncd_nn_axis;

/* Outputs begin .. end - 1, which all have the taps first .. last - 1 inside. Tap `first` of output `begin` is at
 * `origin`. No taps: first = last = origin = 0. */
typedef struct ncd_nn_span {
    uint32_t begin, end, first, last, origin;
} ncd_nn_span;

static inline uint32_t ncd_nn_ceil_div(uint32_t a, uint32_t b)
{
    return b == 1 ? a : (a + b - 1u) / b;
}

static inline ncd_nn_axis ncd_nn_axis_of(uint32_t in, uint32_t out, uint32_t kernel, uint32_t stride, uint32_t dilation,
                                         uint32_t pad)
{
    ncd_nn_axis a;
    const uint32_t reach = (kernel - 1u) * dilation + 1u;
    a.in = in;
    a.out = out;
    a.kernel = kernel;
    a.stride = stride;
    a.dilation = dilation;
    a.pad = pad;
    a.inner_begin = ncd_nn_ceil_div(pad, stride);
    a.inner_end = in + pad < reach ? 0 : (in + pad - reach) / stride + 1u;
    if (a.inner_end > out)
        a.inner_end = out;
    return a;
}

/* The span that begins at an output: all inner ones from there on, or one at the border. */
static inline ncd_nn_span ncd_nn_axis_span(const ncd_nn_axis *a, uint32_t begin)
{
    ncd_nn_span s;
    const uint32_t at = begin * a->stride; /* of tap 0, pad too far; below 2^24 */
    s.begin = begin;
    if (begin >= a->inner_begin && begin < a->inner_end) {
        s.end = a->inner_end;
        s.first = 0;
        s.last = a->kernel;
        s.origin = at - a->pad;
        return s;
    }
    s.end = begin + 1u;
    s.first = at < a->pad ? ncd_nn_ceil_div(a->pad - at, a->dilation) : 0;
    s.last = a->in + a->pad > at ? ncd_nn_ceil_div(a->in + a->pad - at, a->dilation) : 0;
    if (s.last > a->kernel)
        s.last = a->kernel;
    if (s.first >= s.last) {
        s.first = s.last = s.origin = 0;
        return s;
    }
    s.origin = at + s.first * a->dilation - a->pad;
    return s;
}

static inline ncd_nn_axis ncd_nn_axis_y(const ncd_nn_window *w)
{
    return ncd_nn_axis_of(w->in_h, w->out_h, w->kernel_h, w->stride_h, w->dilation_h, w->pad_top);
}

static inline ncd_nn_axis ncd_nn_axis_x(const ncd_nn_window *w)
{
    return ncd_nn_axis_of(w->in_w, w->out_w, w->kernel_w, w->stride_w, w->dilation_w, w->pad_left);
}

/* Whether nothing is 0 that must not be. */
static inline int ncd_nn_window_is_good(const ncd_nn_window *w)
{
    return w->in_h && w->in_w && w->in_c && w->out_h && w->out_w && w->kernel_h && w->kernel_w && w->stride_h &&
           w->stride_w && w->dilation_h && w->dilation_w;
}

/* The same for a convolution, with groups that divide the channels and weights of the right shape. */
static inline int ncd_nn_conv_is_good(const ncd_nn_window *w, const ncd_nn_weights *weights)
{
    return ncd_nn_window_is_good(w) && w->groups && w->out_c && w->in_c % w->groups == 0 && w->out_c % w->groups == 0 &&
           weights->rows == w->out_c && weights->cols == (uint32_t)w->kernel_h * w->kernel_w * (w->in_c / w->groups);
}

#endif
