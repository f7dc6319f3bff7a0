/* Codec 6: levels that a model predicts, bit by bit, from those before (docs/format.md section 15). */
#include "generative.h"
#include "quantizer.h"

#if NCD_ENABLE_GENERATIVE

enum { EXACT = 4, ROW_SCALES = 8, COLUMN_SCALES = 16, ZEROS = 32 };
enum { TUNED = 64 }; /* among the rates */

#define TAG 0x4E455647u

void ncd_generative_tables(ncd_generative_model *m)
{
    int32_t x = -NCD_GENERATIVE_STRETCH;
    uint32_t i;
    for (i = 0; i < 4096; ++i) {
        while (x < NCD_GENERATIVE_STRETCH && ncd_squash(x) < 16 * i + 8)
            ++x;
        m->stretch[i] = (int16_t)x;
    }
    for (i = 0; i < 256; ++i) {
        m->rate[i] = (uint16_t)(655360u / (10 * i + 16));
        m->confidence[i] = (uint8_t)(512 * i / (2 * i + 3));
    }
}

void ncd_generative_reset(ncd_generative_model *m, const uint8_t *prior)
{
    enum { MET = 6 }; /* what a cell of the prior counts */
    uint16_t p[256];
    uint32_t i;
    p[0] = 32768;
    for (i = 1; i < 256; ++i)
        p[i] = (uint16_t)ncd_squash(((int32_t)i - 128) * 16);
    /* Two loops, of which compilers make vectors, and by two for those that do not: a tile of 500 weights takes three times as
     * long. */
    for (i = 0; i < NCD_GENERATIVE_PRIOR_CELLS; i += 2) {
        m->p[i] = p[prior[i]];
        m->p[i + 1] = p[prior[i + 1]];
    }
    for (i = 0; i < NCD_GENERATIVE_PRIOR_CELLS; i += 2) {
        m->n[i] = (uint8_t)(prior[i] ? MET : 0);
        m->n[i + 1] = (uint8_t)(prior[i + 1] ? MET : 0);
    }
    prior += NCD_GENERATIVE_PRIOR_CELLS;
    for (i = 0; i < NCD_GENERATIVE_PRIOR_FIRST; ++i)
        m->first[i] = ((int32_t)prior[i] - 128) * 512;
    prior += NCD_GENERATIVE_PRIOR_FIRST;
    for (i = 0; i < NCD_GENERATIVE_PRIOR_SECOND; ++i)
        m->second[i] = ((int32_t)prior[i] - 128) * 512;
}

ncd_status ncd_generative_read_head(ncd_cursor *c, ncd_generative_head *head)
{
    const uint32_t version = ncd_get_u8(c), states = ncd_get_u8(c), rates = ncd_get_u8(c), start = ncd_get_u8(c);
    const uint32_t kernel = ncd_get_varint32(c);
    if (ncd_is_bad(c))
        return NCD_ERR_CORRUPT;
    if (version != NCD_GENERATIVE_VERSION || states >> 4 || (rates & ~(uint32_t)TUNED) >> 4)
        return NCD_ERR_UNSUPPORTED;
    if (states == 1 || states > 8 || start > 63 || kernel == 0)
        return NCD_ERR_CORRUPT;
    head->states_log2 = (uint8_t)states;
    head->mix_rate = (uint8_t)(rates & 3u);
    head->step_rate = (uint8_t)(rates >> 2 & 3u);
    head->is_tuned = rates & TUNED ? 1 : 0;
    head->start = (uint8_t)start;
    head->kernel = kernel;
    head->polynomials = ncd_quantizer_polynomials(states);
    return NCD_OK;
}

/* The shared object that changes the prior. */
static ncd_status find_tuned(const ncd_model *m, ncd_cursor *c, ncd_tensor *t)
{
    ncd_cursor object;
    const ncd_status status = ncd_model_shared(m, c, NCD_SHARED_GENERATIVE, &object);
    if (status != NCD_OK)
        return status;
    t->tuned = object.p;
    t->model_end = object.end;
    return ncd_generative_tune(object.p, object.end, NULL);
}

ncd_status ncd_generative_bind(const ncd_model *m, ncd_tensor *t)
{
    const uint32_t rows = t->rows, cols = t->cols;
    ncd_generative_head head;
    ncd_status status;
    ncd_cursor c;
    uint32_t mode;

    c.p = t->payload;
    c.end = t->end;
    mode = ncd_get_u8(&c);
    if (ncd_is_bad(&c))
        return NCD_ERR_CORRUPT;
    if (mode >> 6 || ((mode & EXACT) && mode != EXACT))
        return NCD_ERR_UNSUPPORTED;
    if (mode & EXACT) {
        status = ncd_tiles_cut(t, ncd_get_varint32(&c));
        t->center = ncd_get_u8(&c);
    } else {
        status = ncd_tensor_read_levels(t, &c, mode);
        if (status == NCD_OK && (mode & ROW_SCALES))
            status = ncd_tensor_read_codes(&c, rows, &t->scale_width, &t->scales);
        if (status == NCD_OK && (mode & COLUMN_SCALES))
            status = ncd_tensor_read_codes(&c, cols, &t->column_scale_width, &t->column_scales);
    }
    if (status == NCD_OK && ncd_is_bad(&c))
        status = NCD_ERR_CORRUPT;
    if (status != NCD_OK)
        return status;
    t->data = c.p;
    if (mode & ZEROS) {
        t->zeros = 1;
        return ncd_is_bad(&c) || c.p != c.end ? NCD_ERR_CORRUPT : NCD_OK;
    }
    t->tables[0] = c.p;
    status = ncd_generative_read_head(&c, &head);
    if (status != NCD_OK)
        return status;
    if ((mode & EXACT) && head.states_log2)
        return NCD_ERR_CORRUPT;
    if (head.is_tuned)
        status = find_tuned(m, &c, t);
    if (status != NCD_OK)
        return status;
    t->model_workspace = (uint32_t)(sizeof(ncd_generative_model) + ((size_t)t->tile_cols * 2 + 3) / 4 * 4);
    return ncd_tiles_read_index(t, &c);
}

void ncd_generative_prepare(const ncd_tensor *t, void *workspace)
{
    ncd_generative_model *const m = (ncd_generative_model *)workspace;
    m->tag = TAG;
    m->columns = t->tile_cols;
    ncd_generative_tables(m);
}

int ncd_generative_is_prepared(const ncd_tensor *t, const ncd_generative_model *m)
{
    return m->tag == TAG && m->columns >= t->tile_cols;
}

#endif
