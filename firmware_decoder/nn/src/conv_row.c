/* One output channel of a convolution, for all positions. Input rows are read in place: a kernel's row is one run of
 * kernel_w * channels values there, so nothing is copied. Four positions go at a time. */
#include "conv_row.h"

#include "dot.h"

void ncd_nn_conv_begin(ncd_nn_conv *c, const ncd_nn_conv_s8 *layer, const int8_t *in, int8_t *out)
{
    const ncd_nn_window *const w = &layer->window;
    c->layer = layer;
    c->in = in;
    c->out = out;
    c->channels = w->in_c / w->groups;
    c->in_row = (size_t)w->in_w * w->in_c;
    c->tap_sums = NULL;
    if (w->kernel_h == 1 && w->kernel_w == 1 && w->stride_h == 1 && w->stride_w == 1 && !w->pad_top && !w->pad_left &&
        w->in_h == w->out_h && w->in_w == w->out_w) {
        /* Positions are one long row. */
        const uint32_t positions = (uint32_t)w->in_h * w->in_w;
        c->y = ncd_nn_axis_of(1, 1, 1, 1, 1, 0);
        c->x = ncd_nn_axis_of(positions, positions, 1, 1, 1, 0);
        c->in_row = 0;
        return;
    }
    c->y = ncd_nn_axis_y(w);
    c->x = ncd_nn_axis_x(w);
}

int ncd_nn_patch_next(const ncd_nn_conv *c, ncd_nn_patch *p, int first)
{
    uint32_t y = 0, x = 0;
    if (!first) {
        x = p->x.end;
        if (x == c->x.out) {
            x = 0;
            y = p->y.end;
            if (y == c->y.out)
                return 0;
        } else {
            p->x = ncd_nn_axis_span(&c->x, x);
            return 1;
        }
    }
    p->y = ncd_nn_axis_span(&c->y, y);
    p->x = ncd_nn_axis_span(&c->x, x);
    return 1;
}

/* The sum of the weights inside. */
static int32_t sum_inside(const ncd_nn_conv *c, const ncd_nn_patch *p, const int8_t *weights)
{
    const uint32_t kernel_w = c->layer->window.kernel_w;
    int32_t sum = 0;
    uint32_t y, x;
    for (y = p->y.first; y < p->y.last; ++y) {
        if (!c->tap_sums)
            sum += ncd_nn_sum(weights + y * kernel_w + p->x.first, p->x.last - p->x.first);
        else
            for (x = p->x.first; x < p->x.last; ++x)
                sum += c->tap_sums[y * kernel_w + x];
    }
    return sum;
}

/* How the taps inside face the input. */
typedef struct tap_rows {
    uint32_t count;             /* calls that the runs take */
    size_t w_step, in_step;     /* from call to call */
    ncd_nn_runs runs;
} tap_rows;

static tap_rows tap_rows_of(const ncd_nn_conv *c, const ncd_nn_patch *p)
{
    const ncd_nn_window *const w = &c->layer->window;
    const uint32_t rows = p->y.last - p->y.first, cols = p->x.last - p->x.first;
    tap_rows t;
    t.w_step = (size_t)w->kernel_w * c->channels;
    t.in_step = w->dilation_h * c->in_row;
    if (w->dilation_w == 1 && w->groups == 1) { /* all taps of a row are one run */
        t.count = 1;
        t.runs.count = rows;
        t.runs.length = cols * c->channels;
        t.runs.a_step = t.w_step;
        t.runs.b_step = t.in_step;
    } else {
        t.count = rows > 0 ? rows : 1; /* no taps: one call for sums of 0 */
        t.runs.count = rows > 0 ? cols : 0;
        t.runs.length = c->channels;
        t.runs.a_step = c->channels;
        t.runs.b_step = (size_t)w->dilation_w * w->in_c;
    }
    return t;
}

/* A grid of outputs: how far inputs and outputs of neighbours are apart. */
typedef struct grid {
    uint32_t outer, inner;
    size_t in_outer, in_inner, out_outer, out_inner;
} grid;

static void turn(grid *g)
{
    const uint32_t n = g->outer;
    const size_t in_step = g->in_outer, out_step = g->out_outer;
    g->outer = g->inner;
    g->inner = n;
    g->in_outer = g->in_inner;
    g->in_inner = in_step;
    g->out_outer = g->out_inner;
    g->out_inner = out_step;
}

enum { RUN = 8 }; /* sums that are kept before they are written */

/* Adds the sums of the other calls. Apart, because it is rare and its memory would be in every frame. */
static NCD_NN_NOINLINE void add_calls(const tap_rows *t, size_t next, const int8_t *weights, const int8_t *from, uint32_t n,
                                      int32_t *sums)
{
    int32_t more[RUN];
    uint32_t k, i;
    for (k = 1; k < t->count; ++k) {
        ncd_nn_dot_4(weights + k * t->w_step, from + k * t->in_step, next, &t->runs, n >> 2, more);
        for (i = 0; i < n; ++i)
            sums[i] += more[i];
    }
}

/* Inner outputs four at a time, as far as they go. */
static void run_fours(const tap_rows *t, const grid *g, const int8_t *weights, const int8_t *in,
                      const ncd_nn_output *output, int8_t *out)
{
    const uint32_t whole = g->inner & ~3u;
    uint32_t y, x, n;
    int32_t sums[RUN];
    for (y = 0; y < g->outer; ++y)
        for (x = 0; x < whole; x += n) {
            const int8_t *const from = in + y * g->in_outer + x * g->in_inner;
            n = whole - x < RUN ? whole - x : (uint32_t)RUN;
            ncd_nn_dot_4(weights, from, g->in_inner, &t->runs, n >> 2, sums);
            if (t->count > 1)
                add_calls(t, g->in_inner, weights, from, n, sums);
            ncd_nn_write_s8(sums, n, output, out + y * g->out_outer + x * g->out_inner, g->out_inner);
        }
}

static void run_ones(const tap_rows *t, const grid *g, const int8_t *weights, const int8_t *in,
                     const ncd_nn_output *output, int8_t *out)
{
    uint32_t y, x, k;
    for (y = 0; y < g->outer; ++y)
        for (x = 0; x < g->inner; ++x) {
            const int8_t *const from = in + y * g->in_outer + x * g->in_inner;
            int32_t sum = 0;
            for (k = 0; k < t->count; ++k)
                sum += ncd_nn_dot_1(weights + k * t->w_step, from + k * t->in_step, &t->runs);
            ncd_nn_write_s8(&sum, 1, output, out + y * g->out_outer + x * g->out_inner, 0);
        }
}

/* Fours along x; the columns that are left by fours along y; the corner that is left then one by one. */
static void run_patch(const ncd_nn_conv *c, const ncd_nn_patch *p, size_t group_offset, const int8_t *weights,
                      const ncd_nn_output *output, int8_t *out)
{
    const ncd_nn_window *const w = &c->layer->window;
    const tap_rows t = tap_rows_of(c, p);
    const int8_t *in = ncd_nn_patch_in(c, p) + group_offset;
    grid g;
    uint32_t done;
    int turned;
    g.outer = p->y.end - p->y.begin;
    g.inner = p->x.end - p->x.begin;
    g.in_outer = c->y.stride * c->in_row;
    g.in_inner = (size_t)c->x.stride * w->in_c;
    g.out_outer = (size_t)c->x.out * w->out_c;
    g.out_inner = w->out_c;
    weights += (size_t)p->y.first * t.w_step + (size_t)p->x.first * c->channels;
    for (turned = 0; turned < 2; ++turned) {
        if (g.inner >= 4)
            run_fours(&t, &g, weights, in, output, out);
        done = g.inner & ~3u;
        g.inner -= done;
        if (g.inner == 0)
            return;
        in += done * g.in_inner;
        out += done * g.out_inner;
        turn(&g);
    }
    run_ones(&t, &g, weights, in, output, out);
}

void ncd_nn_conv_row(const ncd_nn_conv *c, uint32_t row, const int8_t *weights)
{
    const ncd_nn_window *const w = &c->layer->window;
    const ncd_nn_requant *const q = &c->layer->requant;
    ncd_nn_output output = ncd_nn_output_of(q, row);
    const int32_t bias = output.base;
    const size_t group_offset = w->groups == 1 ? 0 : row / (w->out_c / w->groups) * (size_t)c->channels;
    ncd_nn_patch p;
    uint32_t i;
    int first = 1;
    if (c->tap_sums && q->in_zero)
        for (i = 0; i < (uint32_t)w->kernel_h * w->kernel_w; ++i)
            c->tap_sums[i] = ncd_nn_sum(weights + (size_t)i * c->channels, c->channels);
    for (; ncd_nn_patch_next(c, &p, first); first = 0) {
        if (q->in_zero)
            output.base = ncd_nn_wrap_add(bias, ncd_nn_wrap_mul(-q->in_zero, sum_inside(c, &p, weights)));
        run_patch(c, &p, group_offset, weights, &output, ncd_nn_patch_out(c, &p) + row);
    }
}
