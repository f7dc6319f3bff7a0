/* Vectors times a matrix of weights that comes tile by tile, in rows or down its columns. */
#include "multiply.h"

#include "dot.h"
#include "rows.h"

typedef struct multiply {
    ncd_nn_rows rows;
    int32_t zero;
    uint32_t batch, cols, n_rows;
    const int8_t *in;
    ncd_nn_emit *emit;
    void *to;
    int32_t *sums;
} multiply;

/* What the zero point takes away for a run of weights. */
static int32_t correction(const multiply *m, const int8_t *weights, uint32_t n)
{
    return m->zero ? ncd_nn_wrap_mul(-m->zero, ncd_nn_sum(weights, n)) : 0;
}

/* Whole rows: four of them at a time. */
static void multiply_rows(const multiply *m)
{
    const int8_t *weights = (const int8_t *)m->rows.data;
    const uint32_t last = m->rows.row + m->rows.count;
    uint32_t row = m->rows.row, vector, k;
    int32_t sums[4];
    ncd_nn_runs runs;
    runs.count = 1;
    runs.length = m->cols;
    runs.a_step = runs.b_step = 0;
    while (row < last) {
        const uint32_t count = last - row >= 4 ? 4 : 1;
        int32_t correct[4];
        for (k = 0; k < count; ++k)
            correct[k] = correction(m, weights + (size_t)k * m->cols, m->cols);
        for (vector = 0; vector < m->batch; ++vector) {
            const int8_t *const in = m->in + (size_t)vector * m->cols;
            if (count == 4)
                ncd_nn_dot_4(in, weights, m->cols, &runs, 1, sums);
            else
                sums[0] = ncd_nn_dot_1(in, weights, &runs);
            for (k = 0; k < count; ++k)
                sums[k] = ncd_nn_wrap_add(sums[k], correct[k]);
            m->emit(m->to, vector, row, count, sums);
        }
        weights += (size_t)count * m->cols;
        row += count;
    }
}

/* A piece of a row: adds to the sums of the vectors. */
static void multiply_piece(const multiply *m)
{
    const int8_t *const weights = (const int8_t *)m->rows.data;
    const int32_t correct = correction(m, weights, m->rows.width);
    uint32_t vector;
    ncd_nn_runs runs;
    runs.count = 1;
    runs.length = m->rows.width;
    runs.a_step = runs.b_step = 0;
    for (vector = 0; vector < m->batch; ++vector) {
        const int32_t before = m->rows.col ? m->sums[vector] : 0;
        const int32_t sum = ncd_nn_dot_1(m->in + (size_t)vector * m->cols + m->rows.col, weights, &runs);
        m->sums[vector] = ncd_nn_wrap_add(before, ncd_nn_wrap_add(sum, correct));
        if (m->rows.col + m->rows.width == m->cols)
            m->emit(m->to, vector, m->rows.row, 1, &m->sums[vector]);
    }
}

/* Columns, or a piece of one: adds to the sums of all rows. */
static void multiply_columns(const multiply *m)
{
    const int8_t *weights = (const int8_t *)m->rows.data;
    uint32_t col, vector, i;
    for (col = m->rows.row; col < m->rows.row + m->rows.count; ++col, weights += m->rows.width)
        for (vector = 0; vector < m->batch; ++vector) {
            const int32_t value = m->in[(size_t)vector * m->cols + col] - m->zero;
            int32_t *const sums = m->sums + (size_t)vector * m->n_rows + m->rows.col;
            if (value != 0)
                for (i = 0; i < m->rows.width; ++i)
                    sums[i] = ncd_nn_wrap_add(sums[i], weights[i] * value);
        }
}

ncd_status ncd_nn_multiply(const ncd_nn *nn, const ncd_nn_weights *weights, ncd_nn_memory memory, int32_t zero,
                           uint32_t batch, const int8_t *in, ncd_nn_emit *emit, void *to)
{
    multiply m;
    uint32_t vector;
    int columns, cut;
    ncd_status status = ncd_nn_rows_open(&m.rows, nn, weights, 1);
    if (status == NCD_OK)
        status = ncd_nn_pieces_begin(&m.rows, &memory);
    if (status != NCD_OK)
        return status;
    m.zero = zero;
    m.batch = batch;
    m.cols = weights->cols;
    m.n_rows = weights->rows;
    m.in = in;
    m.emit = emit;
    m.to = to;
    m.sums = NULL;
    columns = ncd_nn_rows_are_columns(&m.rows);
    cut = ncd_nn_rows_are_cut(&m.rows);
    if (columns || cut) {
        const uint64_t sums = columns ? (uint64_t)batch * weights->rows : batch;
        if (sums > memory.left / 4)
            return NCD_ERR_WORKSPACE;
        m.sums = (int32_t *)ncd_nn_take(&memory, 4 * (size_t)sums);
        if (!m.sums)
            return NCD_ERR_WORKSPACE;
        NCD_NN_FILL(m.sums, 0, 4 * (size_t)sums);
    }
    for (;;) {
        status = ncd_nn_pieces_next(&m.rows);
        if (status != NCD_OK || m.rows.count == 0)
            break;
        if (columns)
            multiply_columns(&m);
        else if (cut)
            multiply_piece(&m);
        else
            multiply_rows(&m);
    }
    if (status == NCD_OK && columns)
        for (vector = 0; vector < batch; ++vector)
            emit(to, vector, 0, weights->rows, m.sums + (size_t)vector * weights->rows);
    return status;
}
