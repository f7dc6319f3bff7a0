/* Vectors of floats times a matrix of weights that comes tile by tile, in rows or down its columns. */
#include "multiply_f32.h"

#include "rows.h"

#if NCD_ENABLE_FLOAT

typedef struct multiply {
    ncd_nn_rows rows;
    uint32_t batch, cols, n_rows;
    const float *in;
    ncd_nn_emit_f32 *emit;
    void *to;
    float *sums; /* null: tiles are whole rows */
} multiply;

/* Whole rows, or a piece of one, which adds to the sums of the vectors. */
static void multiply_rows(const multiply *m)
{
    const float *weights = (const float *)m->rows.data;
    uint32_t row, vector, i;
    for (row = m->rows.row; row < m->rows.row + m->rows.count; ++row, weights += m->rows.width)
        for (vector = 0; vector < m->batch; ++vector) {
            const float *const in = m->in + (size_t)vector * m->cols + m->rows.col;
            float sum = m->rows.col ? m->sums[vector] : 0.0f;
            for (i = 0; i < m->rows.width; ++i)
                sum += weights[i] * in[i];
            if (m->rows.col + m->rows.width == m->cols)
                m->emit(m->to, vector, row, 1, &sum);
            else
                m->sums[vector] = sum;
        }
}

/* Columns, or a piece of one: adds to the sums of all rows. */
static void multiply_columns(const multiply *m)
{
    const float *weights = (const float *)m->rows.data;
    uint32_t col, vector, i;
    for (col = m->rows.row; col < m->rows.row + m->rows.count; ++col, weights += m->rows.width)
        for (vector = 0; vector < m->batch; ++vector) {
            const float value = m->in[(size_t)vector * m->cols + col];
            float *const sums = m->sums + (size_t)vector * m->n_rows + m->rows.col;
            for (i = 0; i < m->rows.width; ++i)
                sums[i] += weights[i] * value;
        }
}

ncd_status ncd_nn_multiply_f32(const ncd_nn *nn, const ncd_nn_weights *weights, ncd_nn_memory memory, uint32_t batch,
                               const float *in, ncd_nn_emit_f32 *emit, void *to)
{
    multiply m;
    uint32_t vector;
    size_t i;
    int columns;
    ncd_status status = ncd_nn_rows_open(&m.rows, nn, weights, sizeof(float));
    if (status == NCD_OK)
        status = ncd_nn_pieces_begin(&m.rows, &memory);
    if (status != NCD_OK)
        return status;
    m.batch = batch;
    m.cols = weights->cols;
    m.n_rows = weights->rows;
    m.in = in;
    m.emit = emit;
    m.to = to;
    m.sums = NULL;
    columns = ncd_nn_rows_are_columns(&m.rows);
    if (columns || ncd_nn_rows_are_cut(&m.rows)) {
        const uint64_t sums = columns ? (uint64_t)batch * weights->rows : batch;
        if (sums > memory.left / sizeof(float))
            return NCD_ERR_WORKSPACE;
        m.sums = (float *)ncd_nn_take(&memory, sizeof(float) * (size_t)sums);
        if (!m.sums)
            return NCD_ERR_WORKSPACE;
        for (i = 0; i < (size_t)sums; ++i)
            m.sums[i] = 0.0f;
    }
    for (;;) {
        status = ncd_nn_pieces_next(&m.rows);
        if (status != NCD_OK || m.rows.count == 0)
            break;
        if (columns)
            multiply_columns(&m);
        else
            multiply_rows(&m);
    }
    if (status == NCD_OK && columns)
        for (vector = 0; vector < batch; ++vector)
            emit(to, vector, 0, weights->rows, m.sums + (size_t)vector * weights->rows);
    return status;
}

#endif
