/* Depthwise 3x3. A column of three inputs is loaded once and serves three outputs, as two words: the upper two, for SMLAD,
 * and the lower one. Columns outside are the zero point; of rows outside the weights are 0. */
#include "depthwise_3x3.h"

#if NCD_NN_KERNELS == 1

#include "dsp.h"

enum { RUN = 16 }; /* sums that are kept before they are made outputs */

/* Kernel and input of a line of outputs, which runs right or down; columns are across it. */
typedef struct line {
    uint32_t pairs[3];       /* weights of the upper two places of each column */
    int32_t lower[3];
    const int8_t *rows[3];   /* lines of the input; where the weights are 0, any */
    uint32_t in_w;
    size_t step;             /* from a column to the next */
    int32_t zero;
} line;

/* The sums of `count` outputs of a line from `begin` on, whose first column is begin - pad. */
static NCD_NN_NOINLINE void sum_run(const line *l, uint32_t begin, uint32_t pad, uint32_t count, int32_t *sums)
{
    const uint32_t w0 = l->pairs[0], w1 = l->pairs[1], w2 = l->pairs[2], in_w = l->in_w;
    const int32_t v0 = l->lower[0], v1 = l->lower[1], v2 = l->lower[2];
    const int8_t *const p0 = l->rows[0], *const p1 = l->rows[1], *const p2 = l->rows[2];
    const size_t step = l->step;
    uint32_t x = begin - pad; /* the next column; wraps around where it is left of the input */
    size_t at = x * step;     /* and so does its place */
    uint32_t a, b, c;         /* upper two of three columns */
    int32_t d, e, f;          /* lower ones */

#define COLUMN(pair, single)                                                 \
    do {                                                                     \
        if (x < in_w) {                                                      \
            (pair) = ncd_nn_pack(p0[at], p1[at]);                            \
            (single) = p2[at];                                               \
        } else {                                                             \
            (single) = l->zero;                                              \
            (pair) = ncd_nn_pack(single, single);                            \
        }                                                                    \
        ++x;                                                                 \
        at += step;                                                          \
    } while (0)
#define OUTPUT(p, q, r, s, t, u)                                             \
    do {                                                                     \
        int32_t sum;                                                         \
        COLUMN(r, u);                                                        \
        sum = (s) * v0 + (t) * v1 + (u) * v2;                                \
        sum = ncd_nn_smlad(p, w0, sum);                                      \
        sum = ncd_nn_smlad(q, w1, sum);                                      \
        sum = ncd_nn_smlad(r, w2, sum);                                      \
        *sums++ = sum;                                                       \
    } while (0)

    COLUMN(a, d);
    COLUMN(b, e);
    for (; count >= 3; count -= 3) { /* columns keep their registers */
        OUTPUT(a, b, c, d, e, f);
        OUTPUT(b, c, a, e, f, d);
        OUTPUT(c, a, b, f, d, e);
    }
    if (count > 0)
        OUTPUT(a, b, c, d, e, f);
    if (count > 1)
        OUTPUT(b, c, a, e, f, d);
#undef OUTPUT
#undef COLUMN
}

/* One of the axes: inputs, outputs, and how far neighbours are apart. */
typedef struct side {
    uint32_t in, out, pad;
    size_t in_step, out_step, weight_step;
} side;

/* The kernel for a line whose places across are inside or not, by bits; what it adds for the zero point is the result. */
static NCD_NN_NOINLINE int32_t set_kernel(line *l, const int8_t *weights, const side *along, const side *across, uint32_t inside)
{
    int32_t used[3], sum = 0;
    uint32_t i, k;
    for (k = 0; k < 3; ++k) {
        for (i = 0; i < 3; ++i) {
            used[i] = inside >> i & 1u ? weights[i * across->weight_step + k * along->weight_step] : 0;
            sum += used[i];
        }
        l->pairs[k] = ncd_nn_pack(used[0], used[1]);
        l->lower[k] = used[2];
    }
    return -l->zero * sum;
}

void ncd_nn_3x3_row(const ncd_nn_conv *c, uint32_t row, const int8_t *weights)
{
    const ncd_nn_window *const w = &c->layer->window;
    const int8_t *const in = c->in + (w->out_c == w->in_c ? row : row / (w->out_c / w->groups));
    const side y = {w->in_h, w->out_h, w->pad_top, c->in_row, (size_t)w->out_w * w->out_c, 3};
    const side x = {w->in_w, w->out_w, w->pad_left, w->in_c, w->out_c, 1};
    /* Along the longer side, as each line takes its time to begin. */
    const side *const along = y.out > x.out ? &y : &x, *const across = y.out > x.out ? &x : &y;
    ncd_nn_output output = ncd_nn_output_of(&c->layer->requant, row);
    const int32_t bias = output.base;
    uint32_t line_at, at, i, last = UINT32_MAX;
    int32_t sums[RUN];
    line l;
    l.in_w = along->in;
    l.step = along->in_step;
    l.zero = c->layer->requant.in_zero;
    for (line_at = 0; line_at < across->out; ++line_at) {
        int8_t *out = c->out + row + line_at * across->out_step;
        uint32_t inside = 0;
        for (i = 0; i < 3; ++i) {
            const uint32_t place = line_at + i - across->pad; /* wraps around before the input */
            l.rows[i] = in;
            if (place < across->in) {
                l.rows[i] += place * across->in_step;
                inside |= 1u << i;
            }
        }
        if (inside != last)
            output.base = ncd_nn_wrap_add(bias, set_kernel(&l, weights, along, across, inside));
        last = inside;
        for (at = 0; at < along->out; at += RUN) {
            const uint32_t count = along->out - at < RUN ? along->out - at : (uint32_t)RUN;
            sum_run(&l, at, along->pad, count, sums);
            ncd_nn_write_s8(sums, count, &output, out, along->out_step);
            out += count * along->out_step;
        }
    }
}

#endif
