/* Dot products in plain C. */
#include "dot.h"

#if NCD_NN_KERNELS == 0

void ncd_nn_dot_4(const int8_t *a, const int8_t *b, size_t b_next, const ncd_nn_runs *runs, uint32_t fours, int32_t *sums)
{
    for (; fours > 0; --fours, b += 4 * b_next, sums += 4) {
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        uint32_t run;
        for (run = 0; run < runs->count; ++run) {
            const int8_t *p = a + run * runs->a_step, *const end = p + runs->length;
            const int8_t *q = b + run * runs->b_step, *r = q + 2 * b_next;
            for (; p != end; ++p, ++q, ++r) {
                const int32_t v = *p;
                s0 += v * q[0];
                s1 += v * q[b_next];
                s2 += v * r[0];
                s3 += v * r[b_next];
            }
        }
        sums[0] = s0;
        sums[1] = s1;
        sums[2] = s2;
        sums[3] = s3;
    }
}

int32_t ncd_nn_dot_1(const int8_t *a, const int8_t *b, const ncd_nn_runs *runs)
{
    int32_t sum = 0;
    uint32_t run;
    for (run = 0; run < runs->count; ++run) {
        const int8_t *p = a + run * runs->a_step, *const end = p + runs->length;
        const int8_t *q = b + run * runs->b_step;
        while (p != end)
            sum += *p++ * *q++;
    }
    return sum;
}

int32_t ncd_nn_sum(const int8_t *a, uint32_t n)
{
    const int8_t *const end = a + n;
    int32_t sum = 0;
    while (a != end)
        sum += *a++;
    return sum;
}

void ncd_nn_pack_4(const int8_t *rows, uint32_t taps, int16_t *packed)
{
    uint32_t i;
    for (i = 0; i < taps; ++i, ++rows, packed += 4) {
        packed[0] = rows[0];
        packed[1] = rows[taps];
        packed[2] = rows[2 * taps];
        packed[3] = rows[3 * taps];
    }
}

void ncd_nn_taps_4(const int16_t *packed, const int8_t *x, const ncd_nn_taps *taps, int32_t sums[4])
{
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    uint32_t i, j;
    for (i = 0; i < taps->rows; ++i) {
        const int16_t *w = packed + i * taps->w_row;
        for (j = 0; j < taps->cols; ++j, w += 4) {
            const int8_t *const p = x + i * taps->x_row + j * taps->x_col;
            s0 += w[0] * p[0];
            s1 += w[1] * p[1];
            s2 += w[2] * p[2];
            s3 += w[3] * p[3];
        }
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

#endif
