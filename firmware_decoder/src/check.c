/* What a full check of the directory adds (docs/format.md section 3): the order of the names, and that a tensor is not
 * tied to a tied one. No access hangs on it. */
#include "internal.h"

#if NCD_FULL_CHECK

/* Byte r->name_prefix of the name before record r. */
static uint32_t find_name_byte(const ncd_model *m, const ncd_record *r)
{
    uint32_t byte = 0;
    ncd_record before;
    ncd_record_rewind(m, &before);
    while (before.index + 1u != r->index && ncd_record_read(m, &before) == NCD_OK) {
        const uint32_t at = r->name_prefix - before.name_prefix; /* wraps, and is too big, where that is longer */
        if (at < before.name_suffix_size)
            byte = before.name_suffix[at];
    }
    return byte;
}

int ncd_check_name(const ncd_model *m, ncd_names *s, const ncd_record *r)
{
    const uint32_t at = r->name_prefix;
    if (at > s->size || (r->name_suffix_size == 0 && r->index > 0))
        return 0;
    while (s->depth > 0 && s->prefix[s->depth - 1] > at)
        --s->depth;
    if (at < s->size) {
        const uint32_t top = s->depth - 1; /* the first record has prefix 0, so there is one */
        const int is_lost = s->lost != 0 && at >= s->lost;
        const uint32_t byte = is_lost ? find_name_byte(m, r) : s->suffix[top][at - s->prefix[top]];
        if (r->name_suffix[0] <= byte)
            return 0;
    }
    if (at <= s->lost)
        s->lost = 0;
    if (s->depth > 0 && s->prefix[s->depth - 1] == at)
        --s->depth;
    if (s->lost == 0) {
        if (s->depth < NCD_NAME_LEVELS) {
            s->suffix[s->depth] = r->name_suffix;
            s->prefix[s->depth++] = (uint16_t)at;
        } else {
            s->lost = at;
        }
    }
    s->size = at + r->name_suffix_size;
    return 1;
}

int ncd_check_codec_name(const ncd_record *r)
{
    uint32_t i;
    if (!r->codec_name || r->codec_name_size == 0)
        return 0;
    for (i = 0; i < r->codec_name_size; ++i)
        if (r->codec_name[i] > 127)
            return 0;
    return 1;
}

/* Ties may point forward, so they are looked at after all records. */
ncd_status ncd_check_ties(const ncd_model *m)
{
    ncd_record r, target;
    ncd_record_rewind(m, &r);
    while (r.index + 1u != m->n_tensors) {
        ncd_status status = ncd_record_read(m, &r);
        if (status == NCD_OK && r.codec == NCD_CODEC_TIED) {
            status = ncd_record_seek(m, r.tied_to, &target);
            if (status == NCD_OK && target.codec == NCD_CODEC_TIED)
                status = NCD_ERR_CORRUPT;
        }
        if (status != NCD_OK)
            return status;
    }
    return NCD_OK;
}

#endif
