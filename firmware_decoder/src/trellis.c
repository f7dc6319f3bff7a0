/* Codec 4: levels of a trellis quantizer (docs/format.md section 12). */
#include "trellis.h"
#include "trellis_vector.h"

#if NCD_ENABLE_TRELLIS

enum { SHARED = 4, ROW_SCALES = 8, COLUMN_SCALES = 16, ZEROS = 32, SKIP = 64 };

ncd_status ncd_trellis_bind(const ncd_model *m, ncd_tensor *t)
{
    const uint32_t rows = t->rows, cols = t->cols;
    ncd_cursor c, shared, *from = &c;
    ncd_status status;
    ncd_trellis_model f;
    uint32_t mode, kind;

    c.p = t->payload;
    c.end = t->end;
    mode = ncd_get_u8(&c); /* 0 where there is none, and then neither is there what follows */
    if (mode >> (NCD_TRELLIS_SKIP ? 7 : 6) || ((mode & ZEROS) && (mode & (SHARED | SKIP))) ||
        (!NCD_TRELLIS_WIDE && (mode & NCD_LEVELS_WIDE)))
        return NCD_ERR_UNSUPPORTED;
    status = ncd_tensor_read_levels(t, &c, mode);
    if (status != NCD_OK)
        return status;
    if (mode & ROW_SCALES)
        status = ncd_tensor_read_codes(&c, rows, &t->scale_width, &t->scales);
    if (status == NCD_OK && (mode & COLUMN_SCALES))
        status = ncd_tensor_read_codes(&c, cols, &t->column_scale_width, &t->column_scales);
    if (status == NCD_OK && ncd_is_bad(&c))
        status = NCD_ERR_CORRUPT;
    if (status != NCD_OK)
        return status;
#if NCD_TRELLIS_SKIP
    if (mode & SKIP) {
        t->rows_log2 = ncd_get_u8(&c);
        if (t->rows_log2 > 15)
            return NCD_ERR_CORRUPT;
        t->coded_rows = ncd_get_fields(&c, ((t->rows - 1) >> t->rows_log2) + 1, 1);
        if (ncd_is_bad(&c))
            return NCD_ERR_CORRUPT;
    }
#endif
    t->data = c.p;
    if (mode & ZEROS) {
        t->zeros = 1;
        return ncd_is_bad(&c) || c.p != c.end ? NCD_ERR_CORRUPT : NCD_OK;
    }
    if (mode & SHARED) {
        status = ncd_model_shared(m, &c, NCD_SHARED_TRELLIS, &shared);
        if (status != NCD_OK)
            return status;
        from = &shared;
    }
    t->tables[0] = from->p;
    t->model_end = from->end;
    status = ncd_trellis_model_read(from, &f);
    if (status != NCD_OK)
        return status;
    if ((mode & SHARED) && shared.p != shared.end)
        return NCD_ERR_CORRUPT;
    if (!NCD_TRELLIS_LIGHT_ONLY && t->mode == NCD_MODE_LEVELS && (f.lo > 128 || f.hi > 127 || f.raw_bits))
        return NCD_ERR_CORRUPT;
    if (!NCD_TRELLIS_LIGHT_ONLY && t->mode == NCD_MODE_WIDE && !f.m)
        return NCD_ERR_CORRUPT;
    if (f.values[0] == 0 || (f.states_log2 && f.values[1] == 0))
        return NCD_ERR_CORRUPT;
    kind = ncd_trellis_model_kind(&f, t->mode == NCD_MODE_WIDE);
    if (!NCD_TRELLIS_CONTEXTS && !NCD_TRELLIS_LIGHT_ONLY && kind == NCD_TRELLIS_SEARCH)
        return NCD_ERR_UNSUPPORTED;
    t->model_workspace = ncd_trellis_model_size(&f, kind, NCD_TRELLIS_INDEX);
#if NCD_TRELLIS_INDEX_LOG2 > 4
    t->least_kind = (uint8_t)kind;
    t->least_workspace = ncd_trellis_model_size(&f, kind, 16);
#endif
#if NCD_TRELLIS_VECTOR
    if (kind == NCD_TRELLIS_SEARCH && ncd_trellis_vector_fits(&f, t->tiles))
        t->model_workspace += ncd_trellis_vector_size(&f);
#endif
    return ncd_tiles_read_index(t, &c);
}

#endif
