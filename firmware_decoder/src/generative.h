/* What the files of codec 6 share (docs/format.md section 15). */
#ifndef NCD_GENERATIVE_H
#define NCD_GENERATIVE_H

#include "internal.h"

enum {
    NCD_GENERATIVE_INPUTS = 6,        /* contexts, each of which has an opinion of the next bit */
    NCD_GENERATIVE_BINS = 24,         /* of magnitudes */
    NCD_GENERATIVE_NODES_OF_ONE = 25, /* places where a bit of a level is decided, of one quantizer */
    NCD_GENERATIVE_NODES = 2 * NCD_GENERATIVE_NODES_OF_ONE,
    NCD_GENERATIVE_FIRST = 12,        /* sets of weights, picked by magnitude */
    NCD_GENERATIVE_SECOND = 20,       /* and by what is predicted */
    NCD_GENERATIVE_STRETCH = 2047,    /* largest logit, in 256ths */
    NCD_GENERATIVE_WEIGHT = 1 << 20,  /* largest weight, in 65536ths */
    /* Cells of the contexts, at a node. */
    NCD_GENERATIVE_CELLS_0 = 0,
    NCD_GENERATIVE_CELLS_1 = NCD_GENERATIVE_CELLS_0 + NCD_GENERATIVE_BINS * 5,
    NCD_GENERATIVE_CELLS_2 = NCD_GENERATIVE_CELLS_1 + 125,
    NCD_GENERATIVE_CELLS_3 = NCD_GENERATIVE_CELLS_2 + NCD_GENERATIVE_BINS * 9,
    NCD_GENERATIVE_CELLS_4 = NCD_GENERATIVE_CELLS_3 + NCD_GENERATIVE_BINS * 8,
    NCD_GENERATIVE_CELLS_5 = NCD_GENERATIVE_CELLS_4 + NCD_GENERATIVE_BINS * 8,
    NCD_GENERATIVE_CELLS = NCD_GENERATIVE_CELLS_5 + NCD_GENERATIVE_BINS * 20,
    /* Bytes of a prior: the cells of all nodes, the first weights, the second ones. */
    NCD_GENERATIVE_PRIOR_CELLS = NCD_GENERATIVE_NODES * NCD_GENERATIVE_CELLS,
    NCD_GENERATIVE_PRIOR_FIRST = NCD_GENERATIVE_NODES * NCD_GENERATIVE_FIRST * NCD_GENERATIVE_INPUTS,
    NCD_GENERATIVE_PRIOR_SECOND = NCD_GENERATIVE_NODES * NCD_GENERATIVE_SECOND * NCD_GENERATIVE_INPUTS,
    NCD_GENERATIVE_PRIOR = NCD_GENERATIVE_PRIOR_CELLS + NCD_GENERATIVE_PRIOR_FIRST + NCD_GENERATIVE_PRIOR_SECOND
};

/* The prior that is compiled in, of version NCD_GENERATIVE_VERSION. */
extern const uint8_t ncd_generative_prior[NCD_GENERATIVE_PRIOR];

/* What adapts. */
typedef struct ncd_generative_model {
    uint32_t tag;                                /* tells it from other workspaces */
    uint32_t columns;                            /* for which there is room behind it */
    int32_t first[NCD_GENERATIVE_PRIOR_FIRST];   /* weights of logits, in 65536ths */
    int32_t second[NCD_GENERATIVE_PRIOR_SECOND];
    int16_t stretch[4096];                       /* by probability in 4096ths: its logit in 256ths */
    uint16_t rate[256];                          /* by how often a cell was met: what it learns from the next bit */
    uint16_t p[NCD_GENERATIVE_PRIOR_CELLS];      /* by cell: probability of a 1, in 65536ths */
    uint8_t n[NCD_GENERATIVE_PRIOR_CELLS];       /* by cell: how often it was met, as far as that counts */
    uint8_t confidence[256];                     /* by how often a cell was met: what its opinion counts, in 256ths */
} ncd_generative_model;

/* What the header of a payload says of the levels. */
typedef struct ncd_generative_head {
    uint8_t states_log2;        /* 0: one quantizer */
    uint8_t start;              /* running magnitude at the start of a tile, four steps an octave */
    uint8_t mix_rate, step_rate;
    uint8_t is_tuned;           /* a shared object changes weights of the prior */
    uint32_t kernel;            /* columns after which places in the kernel repeat */
    const uint8_t *polynomials; /* of the trellis */
} ncd_generative_head;

NCD_INLINE uint32_t ncd_magnitude(int32_t v)
{
    return v < 0 ? 0u - (uint32_t)v : (uint32_t)v;
}

/* 65536 / (1 + exp(-x / 256)), from 33 points and lines between them. */
NCD_INLINE uint32_t ncd_squash(int32_t x)
{
    static const uint16_t half[17] = {32768, 40793, 47911, 53584, 57724, 60547, 62428, 63615, 64357,
                                      64815, 65097, 65269, 65374, 65438, 65476, 65500, 65514};
    const uint32_t magnitude = ncd_magnitude(x), k = magnitude >> 7, w = magnitude & 127u;
    /* The lower half is a mirror of the upper one, and is rounded down, too. */
    if (x >= 0)
        return (half[k] * (128u - w) + half[k + 1] * w) >> 7;
    return ((65536u - half[k]) * (128u - w) + (65536u - half[k + 1]) * w) >> 7;
}

/* ---- generative.c ---- */

/* Makes the tables that follow from no prior. */
void ncd_generative_tables(ncd_generative_model *m);

/* Puts everything that adapts back to a prior. */
void ncd_generative_reset(ncd_generative_model *m, const uint8_t *prior);

/* Whether a workspace was prepared for this tensor, or one alike. */
int ncd_generative_is_prepared(const ncd_tensor *t, const ncd_generative_model *m);

/* Running magnitudes of columns. */
NCD_INLINE uint16_t *ncd_generative_columns(ncd_generative_model *m)
{
    return (uint16_t *)(void *)(m + 1);
}

/* Reads the part of a payload's header that says how levels are coded. */
ncd_status ncd_generative_read_head(ncd_cursor *c, ncd_generative_head *head);

/* ---- generative_tuned.c ---- */

/* Reads a shared object that changes weights of the prior, and changes them, unless `m` is null. CORRUPT or UNSUPPORTED: it
 * breaks a rule of the format. */
ncd_status ncd_generative_tune(const uint8_t *object, const uint8_t *end, ncd_generative_model *m);

#endif
