/* Convolution by patches. */
#include "conv_patch.h"

#include "dot.h"

enum { LONG = 128 }; /* bytes of a patch that is too long to have four of them */

size_t ncd_nn_patch_size(const ncd_nn_conv_s8 *layer, uint32_t rows)
{
    const ncd_nn_window *const w = &layer->window;
    if (w->in_c != 1 || w->kernel_h * w->kernel_w == 1 || w->kernel_w > 16 || layer->weights.cols > LONG || rows < 4)
        return 0;
    return 4 * (size_t)rows + 4 * (size_t)layer->weights.cols;
}

static int8_t *fill(int8_t *to, int32_t value, uint32_t n)
{
    for (; n > 0; --n) {
        *to++ = (int8_t)value;
        NCD_NN_SHORT_LOOP();
    }
    return to;
}

static int8_t *copy(int8_t *to, const int8_t *from, uint32_t n)
{
    for (; n >= 4; n -= 4, to += 4, from += 4)
        NCD_NN_COPY(to, from, 4);
    for (; n > 0; --n) {
        *to++ = *from++;
        NCD_NN_SHORT_LOOP();
    }
    return to;
}

/* What the output at y, x reads. */
static void gather(const ncd_nn_conv *c, const ncd_nn_span *y, const ncd_nn_span *x, int8_t *to)
{
    const ncd_nn_window *const w = &c->layer->window;
    const int32_t zero = c->layer->requant.in_zero;
    const uint32_t width = w->kernel_w, step = w->dilation_w, last = x->last;
    const size_t down = w->dilation_h * c->in_row;
    const int8_t *const from = c->in + y->origin * c->in_row + x->origin;
    const int is_whole = last - x->first == width && step == 1;
    uint32_t i, j;
    to = fill(to, zero, y->first * width);
    for (i = 0; i < y->last - y->first; ++i) {
        const int8_t *row = from + i * down;
        if (is_whole) {
            to = copy(to, row, width);
            continue;
        }
        to = fill(to, zero, x->first);
        for (j = x->first; j < last; ++j)
            *to++ = row[(size_t)(j - x->first) * step];
        to = fill(to, zero, width - last);
    }
    (void)fill(to, zero, (w->kernel_h - y->last) * width);
}

void ncd_nn_patch_rows(const ncd_nn_conv *c, uint32_t row, uint32_t count, const int8_t *weights, void *memory)
{
    const ncd_nn_requant *const q = &c->layer->requant;
    const uint32_t cols = c->layer->weights.cols, channels = c->layer->window.out_c;
    int32_t *const corrections = (int32_t *)memory; /* what the zero point adds to the sums */
    int8_t *const patches = (int8_t *)(corrections + count);
    uint32_t oy = 0, ox = 0, n, i;
    int8_t *out = c->out + row;
    ncd_nn_span y = ncd_nn_axis_span(&c->y, 0);
    ncd_nn_runs runs;
    int32_t sums[4];
    runs.count = 1;
    runs.length = cols;
    runs.a_step = runs.b_step = 0;
    for (i = 0; i < count; ++i)
        corrections[i] = q->in_zero ? -q->in_zero * ncd_nn_sum(weights + (size_t)i * cols, cols) : 0;
    NCD_NN_FILL(patches, 0, 4 * (size_t)cols);
    while (oy < c->y.out) {
        for (n = 0; n < 4 && oy < c->y.out; ++n) {
            const ncd_nn_span x = ncd_nn_axis_span(&c->x, ox);
            if (y.begin != oy)
                y = ncd_nn_axis_span(&c->y, oy);
            gather(c, &y, &x, patches + n * cols);
            if (++ox == c->x.out) {
                ox = 0;
                ++oy;
            }
        }
        for (i = 0; i < count; ++i) {
            ncd_nn_output output = ncd_nn_output_of(q, row + i);
            output.base = ncd_nn_wrap_add(output.base, corrections[i]);
            ncd_nn_dot_4(weights + (size_t)i * cols, patches, cols, &runs, 1, sums);
            ncd_nn_write_s8(sums, n, &output, out + i, channels);
        }
        out += n * (size_t)channels;
    }
}
