/* Dot products with the DSP extension of Cortex-M4, M7 and M33: a word of four values becomes two words of two (SXTB16),
 * of which SMLAD multiplies and adds both halves. Words are loaded from any address. */
#include "dot.h"

#if NCD_NN_KERNELS == 1

#include "dsp.h"

NCD_NN_INLINE uint32_t load(const int8_t *p)
{
    uint32_t x;
    NCD_NN_COPY(&x, p, 4);
    return x;
}

#if defined(__GNUC__)

/* Loads in this order, and nothing else: compilers load all words first, and then spill the sums. */
#define LOAD_NEXT(x, p) __asm__ volatile("ldr %0, [%1], #4" : "=r"(x), "+r"(p) : : "memory")
#define LOAD(x, p) __asm__ volatile("ldr %0, [%1]" : "=r"(x) : "r"(p) : "memory")
#define LOAD_AT(x, p, offset) __asm__ volatile("ldr %0, [%1, %2]" : "=r"(x) : "r"(p), "r"(offset) : "memory")
#define LOAD_AT_2(x, p, offset) __asm__ volatile("ldr %0, [%1, %2, lsl #1]" : "=r"(x) : "r"(p), "r"(offset) : "memory")

#else

#define LOAD_NEXT(x, p) ((x) = load(p), (p) += 4)
#define LOAD(x, p) ((x) = load(p))
#define LOAD_AT(x, p, offset) ((x) = load((p) + (offset)))
#define LOAD_AT_2(x, p, offset) ((x) = load((p) + 2 * (offset)))

#endif

/* One word of a and those of the four vectors. */
#define SUM(s)                          \
    do {                                \
        x = ncd_nn_extend_odd(w);              \
        w = ncd_nn_extend(w);                  \
        (s) = ncd_nn_smlad(u, x, s);           \
        (s) = ncd_nn_smlad(v, w, s);           \
    } while (0)
#define STEP()                          \
    do {                                \
        LOAD_NEXT(v, p);                \
        LOAD(w, q);                     \
        u = ncd_nn_extend_odd(v);              \
        v = ncd_nn_extend(v);                  \
        SUM(s0);                        \
        LOAD_AT(w, q, b_next);          \
        SUM(s1);                        \
        LOAD_AT_2(w, q, b_next);        \
        SUM(s2);                        \
        LOAD_AT(w, q, third);           \
        SUM(s3);                        \
        q += 4;                         \
    } while (0)

void ncd_nn_dot_4(const int8_t *a, const int8_t *b, size_t b_next, const ncd_nn_runs *runs, uint32_t fours, int32_t *sums)
{
    const size_t third = 3 * b_next;
    for (; fours > 0; --fours, b += 4 * b_next, sums += 4) {
        const int8_t *a_run = a, *b_run = b;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        uint32_t run, u, v, w, x;
        for (run = runs->count; run > 0; --run, a_run += runs->a_step, b_run += runs->b_step) {
            const int8_t *p = a_run, *q = b_run;
            const int8_t *const words = p + (runs->length & ~3u);
            if (runs->length & 4u)
                STEP();
            while (p != words) {
                STEP();
                STEP();
            }
            for (v = runs->length & 3u; v > 0; --v, ++p, ++q) {
                const int32_t value = *p;
                s0 += value * q[0];
                s1 += value * q[b_next];
                s2 += value * q[2 * b_next];
                s3 += value * q[third];
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
        const int8_t *const end = p + runs->length, *const words = end - (runs->length & 3u);
        for (; p != words; p += 4, q += 4) {
            const uint32_t v = load(p), w = load(q);
            sum = ncd_nn_smlad(ncd_nn_extend(v), ncd_nn_extend(w), sum);
            sum = ncd_nn_smlad(ncd_nn_extend_odd(v), ncd_nn_extend_odd(w), sum);
        }
        while (p != end)
            sum += *p++ * *q++;
    }
    return sum;
}

int32_t ncd_nn_sum(const int8_t *a, uint32_t n)
{
    const uint32_t ones = 0x00010001u;
    int32_t sum = 0;
    for (; n >= 4; n -= 4, a += 4) {
        const uint32_t v = load(a);
        sum = ncd_nn_smlad(ncd_nn_extend(v), ones, sum);
        sum = ncd_nn_smlad(ncd_nn_extend_odd(v), ones, sum);
    }
    for (; n > 0; --n)
        sum += *a++;
    return sum;
}

/* Two words a tap: channels 0 and 2, then 1 and 3, as the inputs come from a word of four. */
void ncd_nn_pack_4(const int8_t *rows, uint32_t taps, int16_t *packed)
{
    uint32_t i;
    for (i = 0; i < taps; ++i, ++rows, packed += 4) {
        packed[0] = rows[0];
        packed[1] = rows[2 * taps];
        packed[2] = rows[taps];
        packed[3] = rows[3 * taps];
    }
}

void ncd_nn_taps_4(const int16_t *packed, const int8_t *x, const ncd_nn_taps *taps, int32_t sums[4])
{
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    uint32_t i, j;
    for (i = taps->rows; i > 0; --i, packed += taps->w_row, x += taps->x_row) {
        const uint32_t *w = (const uint32_t *)(const void *)packed;
        const int8_t *p = x;
        for (j = taps->cols; j > 0; --j, w += 2, p += taps->x_col) {
            const uint32_t v = load(p), even = ncd_nn_extend(v), odd = ncd_nn_extend_odd(v);
            s0 = ncd_nn_smla_low(w[0], even, s0);
            s2 = ncd_nn_smla_high(w[0], even, s2);
            s1 = ncd_nn_smla_low(w[1], odd, s1);
            s3 = ncd_nn_smla_high(w[1], odd, s3);
        }
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

#endif
