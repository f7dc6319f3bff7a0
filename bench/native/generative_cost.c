/* Counts the bits that the model of codec generative takes for levels, for bench/generative_ablation.py, which compiles it
 * with generative_model.h or with a variant of it.
 *
 *     generative_cost PRIOR LEVELS
 *
 * PRIOR: the file of a prior, or "-" for none. LEVELS: tensors one after the other, each of seven integers of 32 bits
 * (rows, columns, tile length, log2 of the states, columns of a kernel, start, rates) and its levels of 16 bits; all in the
 * byte order of the machine. Prints the bits. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct counter {
    double bits;
} counter;

static unsigned count(counter *c, unsigned p, unsigned bit)
{
    c->bits -= log2((bit ? p : 65536u - p) / 65536.0);
    return bit;
}

#define NCD_GENERATIVE_CODER counter
#define NCD_GENERATIVE_CODE(c, p, bit) count(c, p, bit)
#include "generative_model.h"

static void *allocate(size_t size)
{
    void *const p = malloc(size);
    if (!p)
        exit(2);
    return p;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

int main(int argc, char **argv)
{
    ncd_generative_model *const m = allocate(sizeof *m + 2 * 65536);
    uint8_t *const prior = allocate(NCD_GENERATIVE_PRIOR);
    counter total = {0};
    int32_t head[7];
    FILE *in;
    size_t i;

    if (argc != 3)
        return 2;
    for (i = 0; i < NCD_GENERATIVE_PRIOR; ++i)
        prior[i] = i < NCD_GENERATIVE_PRIOR_CELLS ? 0 : 128 + 21; /* nothing known, all inputs alike */
    if (argv[1][0] != '-') {
        in = fopen(argv[1], "rb");
        if (!in || fread(prior, 1, NCD_GENERATIVE_PRIOR, in) != NCD_GENERATIVE_PRIOR)
            return 2;
        fclose(in);
    }
    ncd_generative_tables(m);
    in = fopen(argv[2], "rb");
    if (!in)
        return 2;
    while (fread(head, sizeof head, 1, in) == 1) {
        const uint32_t rows = (uint32_t)head[0], cols = (uint32_t)head[1], tile = (uint32_t)head[2];
        const uint32_t across = smaller(cols, tile), down = cols <= tile ? tile / cols : 1;
        int16_t *const levels = allocate(2 * (size_t)rows * cols);
        uint8_t fields[9] = {NCD_GENERATIVE_VERSION, (uint8_t)head[3], (uint8_t)head[6], (uint8_t)head[5]};
        uint32_t kernel = (uint32_t)head[4], row, col;
        ncd_generative_head shape;
        ncd_generative_walk w;
        ncd_cursor c;
        if (fread(levels, 2 * (size_t)rows * cols, 1, in) != 1)
            return 2;
        for (i = 4; kernel > 127; kernel >>= 7)
            fields[i++] = (uint8_t)((kernel & 127u) | 128u);
        fields[i++] = (uint8_t)kernel;
        c.p = fields;
        c.end = fields + i;
        if (ncd_generative_read_head(&c, &shape) != NCD_OK)
            return 2;
        for (row = 0; row < rows; row += down)
            for (col = 0; col < cols; col += across) {
                const uint32_t width = smaller(cols - col, across);
                const size_t n = (size_t)smaller(rows - row, down) * width;
                const int16_t *const at = levels + (size_t)row * cols + col;
                ncd_generative_reset(m, prior);
                w.m = m;
                w.coder = &total;
                w.columns = ncd_generative_columns(m);
                w.head = &shape;
                ncd_generative_begin(&w, width, col);
                for (i = 0; i < n; ++i)
                    if (ncd_generative_level(&w, at, 1, at[i]) != at[i])
                        return 3;
            }
        free(levels);
    }
    printf("%.1f\n", total.bits);
    return 0;
}
