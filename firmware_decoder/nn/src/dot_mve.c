/* Dot products with MVE (Cortex-M55 and M85): 16 values at a time by VMLADAVA, the last ones predicated. */
#include "dot.h"

#if NCD_NN_KERNELS == 2

#if !defined(__ARM_FEATURE_MVE)
#error "NCD_NN_KERNELS is 2, but the target has no MVE"
#endif

#include <arm_mve.h>

void ncd_nn_dot_4(const int8_t *a, const int8_t *b, size_t b_next, const ncd_nn_runs *runs, uint32_t fours, int32_t *sums)
{
    for (; fours > 0; --fours, b += 4 * b_next, sums += 4) {
        const int8_t *a_run = a, *b_run = b;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        uint32_t run;
        for (run = runs->count; run > 0; --run, a_run += runs->a_step, b_run += runs->b_step) {
            const int8_t *p = a_run, *q = b_run, *r = q + 2 * b_next;
            uint32_t n = runs->length;
            for (; n >= 16; n -= 16, p += 16, q += 16, r += 16) {
                const int8x16_t v = vldrbq_s8(p);
                s0 = vmladavaq_s8(s0, v, vldrbq_s8(q));
                s1 = vmladavaq_s8(s1, v, vldrbq_s8(q + b_next));
                s2 = vmladavaq_s8(s2, v, vldrbq_s8(r));
                s3 = vmladavaq_s8(s3, v, vldrbq_s8(r + b_next));
            }
            if (n > 0) {
                const mve_pred16_t lanes = vctp8q(n);
                const int8x16_t v = vldrbq_z_s8(p, lanes);
                s0 = vmladavaq_s8(s0, v, vldrbq_z_s8(q, lanes));
                s1 = vmladavaq_s8(s1, v, vldrbq_z_s8(q + b_next, lanes));
                s2 = vmladavaq_s8(s2, v, vldrbq_z_s8(r, lanes));
                s3 = vmladavaq_s8(s3, v, vldrbq_z_s8(r + b_next, lanes));
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
    for (run = runs->count; run > 0; --run, a += runs->a_step, b += runs->b_step) {
        const int8_t *p = a, *q = b;
        uint32_t n = runs->length;
        for (; n >= 16; n -= 16, p += 16, q += 16)
            sum = vmladavaq_s8(sum, vldrbq_s8(p), vldrbq_s8(q));
        if (n > 0) {
            const mve_pred16_t lanes = vctp8q(n);
            sum = vmladavaq_s8(sum, vldrbq_z_s8(p, lanes), vldrbq_z_s8(q, lanes));
        }
    }
    return sum;
}

int32_t ncd_nn_sum(const int8_t *a, uint32_t n)
{
    int32_t sum = 0;
    for (; n >= 16; n -= 16, a += 16)
        sum = vaddvaq_s8(sum, vldrbq_s8(a));
    return n > 0 ? vaddvaq_s8(sum, vldrbq_z_s8(a, vctp8q(n))) : sum;
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
    int32x4_t sum = vdupq_n_s32(0);
    uint32_t i, j;
    for (i = taps->rows; i > 0; --i, packed += taps->w_row, x += taps->x_row) {
        const int16_t *w = packed;
        const int8_t *p = x;
        for (j = taps->cols; j > 0; --j, w += 4, p += taps->x_col)
            sum = vaddq_s32(sum, vmulq_s32(vldrhq_s32(w), vldrbq_s32(p)));
    }
    vst1q_s32(sums, sum);
}

#endif
