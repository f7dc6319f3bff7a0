/* The fixed part and the directory of a model stream. */
#include "internal.h"

enum { FIXED_SIZE = 16, NO_NAMES = 1, SHARED_TABLE = 1, NAME_MAX_SIZE = 65535, TENSORS_MAX = (1 << 24) - 1 };

static const uint8_t magic[4] = {'N', 'C', 'D', 'M'};

const uint8_t ncd_size_log2[17] = {0, 2, 1, 1, 3, 0, 0, 1, 2, 3, 0, 0, 0, 1, 2, 3, 3};

/* A sum of sizes, which stays at SIZE_MAX once it gets there. */
static size_t add_size(size_t total, size_t size)
{
    return size > SIZE_MAX - total ? SIZE_MAX : total + size;
}

static ncd_cursor directory(const ncd_model *m, size_t offset)
{
    ncd_cursor c;
    c.p = m->blob + offset;
    c.end = m->blob + m->header_size;
    c.bad = 0;
    return c;
}

/* The dimensions as a matrix. */
static ncd_status read_shape(ncd_cursor *c, ncd_record *r)
{
    uint32_t rows = 1, cols = 1, i;
    int big = 0, empty = 0;
    r->dims = c->p;
    for (i = 0; i < r->ndim; ++i) {
        const uint64_t d = ncd_get_varint(c);
        if (i == 0 && r->ndim > 1) {
            rows = (uint32_t)d;
            if (d >> 32)
                return NCD_ERR_CORRUPT;
        } else {
            const uint64_t product = (d & UINT32_MAX) * cols;
            cols = (uint32_t)product;
            big |= (d | product) >> 32 != 0;
            empty |= d == 0; /* even if the other dimensions are big */
        }
    }
    if (empty)
        cols = 0;
    else if (big)
        return NCD_ERR_CORRUPT;
    r->rows = rows;
    r->cols = cols;
    return (uint32_t)(((uint64_t)rows * cols) >> 32) >> (24 - ncd_size_log2[r->dtype]) ? NCD_ERR_CORRUPT : NCD_OK;
}

/* Reads the record at r->next. Before the first one r->index is UINT32_MAX. */
static ncd_status read_record(const ncd_model *m, ncd_record *r)
{
    ncd_cursor c = directory(m, r->next);
    const size_t offset = r->payload_offset + r->payload_size;
    const uint32_t index = r->index + 1u;

    NCD_FILL(r, 0, sizeof *r);
    r->index = r->tied_to = index;
    r->payload_offset = offset;

    if (m->has_names) {
        r->name_prefix = ncd_get_varint32(&c);
        r->name_suffix_size = ncd_get_varint32(&c);
        r->name_suffix = ncd_get_bytes(&c, r->name_suffix_size);
        if (!r->name_suffix || r->name_prefix > NAME_MAX_SIZE || r->name_suffix_size > NAME_MAX_SIZE - r->name_prefix)
            return NCD_ERR_CORRUPT;
    }
    r->codec = (uint8_t)ncd_get_u8(&c);
    if (r->codec == NCD_CODEC_TIED) {
        r->tied_to = ncd_get_varint32(&c);
        if (r->tied_to >= m->n_tensors)
            return NCD_ERR_CORRUPT;
    } else {
        r->dtype = (uint8_t)ncd_get_u8(&c);
        if (c.bad)
            return NCD_ERR_CORRUPT;
        if (r->dtype < NCD_F32 || r->dtype > NCD_COMPLEX64)
            return NCD_ERR_UNSUPPORTED;
        r->ndim = (uint8_t)ncd_get_u8(&c);
        if (r->ndim > 64 || read_shape(&c, r) != NCD_OK)
            return NCD_ERR_CORRUPT;
        if (r->codec == NCD_CODEC_NAMED) {
            uint32_t i;
            r->codec_name_size = (uint8_t)ncd_get_u8(&c);
            r->codec_name = ncd_get_bytes(&c, r->codec_name_size);
            if (c.bad || r->codec_name_size == 0)
                return NCD_ERR_CORRUPT;
            for (i = 0; i < r->codec_name_size; ++i)
                if (r->codec_name[i] > 127)
                    return NCD_ERR_CORRUPT;
        }
        r->payload_size = ncd_get_size(&c);
        r->payload_crc = ncd_get_u32(&c);
    }
    r->next = (size_t)(c.p - m->blob);
    return c.bad ? NCD_ERR_CORRUPT : NCD_OK;
}

/* Reads the record of a shared object. */
static ncd_status read_shared(ncd_cursor *c, size_t *size, uint32_t *crc)
{
    const uint32_t kind = ncd_get_u8(c);
    if (c->bad)
        return NCD_ERR_CORRUPT;
    if (kind != SHARED_TABLE)
        return NCD_ERR_UNSUPPORTED;
    *size = ncd_get_size(c);
    *crc = ncd_get_u32(c);
    return c->bad ? NCD_ERR_CORRUPT : NCD_OK;
}

static void rewind_records(const ncd_model *m, ncd_record *r)
{
    r->next = m->tensor_records;
    r->index = UINT32_MAX;
    r->payload_offset = m->payloads;
    r->payload_size = 0;
}

ncd_status ncd_record_next(const ncd_model *m, ncd_record *r)
{
    if (!m || !r)
        return NCD_ERR_ARG;
    if (r->next == 0)
        rewind_records(m, r);
    if (r->index + 1u >= m->n_tensors) /* unsigned: UINT32_MAX + 1 is 0 */
        return NCD_ERR_ARG;
    return read_record(m, r);
}

/* The record of tensor `index`, which exists. */
static ncd_status seek(const ncd_model *m, uint32_t index, ncd_record *r)
{
    ncd_status status;
    rewind_records(m, r);
    do
        status = read_record(m, r);
    while (status == NCD_OK && r->index != index);
    return status;
}

/* Names are front-coded, so whether they ascend hangs on one byte: the one of the name before that the first new byte
 * replaces. It came with the last record whose prefix is not longer than the new one. Reading the directory again finds
 * it, so that no name is ever put together; memory is bounded, but the time is quadratic in the number of tensors. Where
 * that matters, a stack of the records that still have bytes in the name before finds it at once; names nest a few
 * levels deep. */
typedef struct name_stack {
#if NCD_NAME_LEVELS > 0
    const uint8_t *suffix[NCD_NAME_LEVELS];
    uint16_t prefix[NCD_NAME_LEVELS];
    uint32_t depth;
    uint32_t lost; /* the least prefix of a record that found no room, else UINT32_MAX */
#endif
    uint32_t size; /* of the last name */
} name_stack;

/* Byte r->name_prefix of the name before record r. */
static uint32_t find_name_byte(const ncd_model *m, const ncd_record *r)
{
    uint32_t byte = 0;
    ncd_record before;
    rewind_records(m, &before);
    while (before.index + 1u != r->index && read_record(m, &before) == NCD_OK) {
        const uint32_t at = r->name_prefix - before.name_prefix; /* wraps, and is too big, where that is longer */
        if (at < before.name_suffix_size)
            byte = before.name_suffix[at];
    }
    return byte;
}

/* Checks that the name of r follows the last one, and that its prefix is as long as it can be. */
static ncd_status check_name(const ncd_model *m, name_stack *s, const ncd_record *r)
{
    const uint32_t at = r->name_prefix;
    if (at > s->size || (r->name_suffix_size == 0 && r->index > 0))
        return NCD_ERR_CORRUPT;
#if NCD_NAME_LEVELS > 0
    while (s->depth > 0 && s->prefix[s->depth - 1] > at)
        --s->depth;
    if (at < s->size) {
        const uint32_t top = s->depth - 1; /* the first record has prefix 0, so there is one */
        const uint32_t byte = at >= s->lost ? find_name_byte(m, r) : s->suffix[top][at - s->prefix[top]];
        if (r->name_suffix[0] <= byte)
            return NCD_ERR_CORRUPT;
    }
    if (at <= s->lost)
        s->lost = UINT32_MAX;
    if (s->depth > 0 && s->prefix[s->depth - 1] == at)
        --s->depth;
    if (s->lost == UINT32_MAX) {
        if (s->depth < NCD_NAME_LEVELS) {
            s->suffix[s->depth] = r->name_suffix;
            s->prefix[s->depth++] = (uint16_t)at;
        } else {
            s->lost = at;
        }
    }
#else
    if (at < s->size && r->name_suffix[0] <= find_name_byte(m, r))
        return NCD_ERR_CORRUPT;
#endif
    s->size = at + r->name_suffix_size;
    return NCD_OK;
}

/* Ties may point forward, so they are looked at after all records. */
static ncd_status check_ties(const ncd_model *m)
{
    ncd_record r, target;
    rewind_records(m, &r);
    while (r.index + 1u != m->n_tensors) {
        ncd_status status = read_record(m, &r);
        if (status == NCD_OK && r.codec == NCD_CODEC_TIED) {
            status = seek(m, r.tied_to, &target);
            if (status == NCD_OK && target.codec == NCD_CODEC_TIED)
                status = NCD_ERR_CORRUPT;
        }
        if (status != NCD_OK)
            return status;
    }
    return NCD_OK;
}

static NCD_NOINLINE ncd_status check_records(ncd_model *m, size_t *total)
{
    name_stack names;
    ncd_record r;
    int ties = 0;
    names.size = 0;
#if NCD_NAME_LEVELS > 0
    names.depth = 0;
    names.lost = UINT32_MAX;
#endif
    rewind_records(m, &r);
    while (r.index + 1u != m->n_tensors) {
        ncd_status status = read_record(m, &r);
        /* The name comes first in the record, so its fault counts before that of a dtype. */
        if (status != NCD_ERR_CORRUPT && m->has_names && check_name(m, &names, &r) != NCD_OK)
            status = NCD_ERR_CORRUPT;
        if (status != NCD_OK)
            return status;
        ties |= r.codec == NCD_CODEC_TIED;
        *total = add_size(*total, r.payload_size);
    }
    if (r.next != m->header_size)
        return NCD_ERR_CORRUPT;
    return ties ? check_ties(m) : NCD_OK;
}

static ncd_status check_directory(ncd_model *m)
{
    ncd_cursor c = directory(m, FIXED_SIZE);
    size_t total = m->header_size, size;
    uint32_t i, crc;
    ncd_status status;

    m->n_shared = ncd_get_varint32(&c);
    if (c.bad || m->n_shared > 65535)
        return NCD_ERR_CORRUPT;
    m->shared_records = (size_t)(c.p - m->blob);
    for (i = 0; i < m->n_shared; ++i) {
        status = read_shared(&c, &size, &crc);
        if (status != NCD_OK)
            return status;
        total = add_size(total, size);
    }
    m->n_tensors = ncd_get_varint32(&c);
    if (c.bad || m->n_tensors > TENSORS_MAX)
        return NCD_ERR_CORRUPT;
    m->tensor_records = (size_t)(c.p - m->blob);
    m->payloads = total;

    status = check_records(m, &total);
    if (status != NCD_OK)
        return status;
    if (total != m->size)
        return total > m->size ? NCD_ERR_TRUNCATED : NCD_ERR_CORRUPT;
    return m->payloads > m->available ? NCD_ERR_ARG : NCD_OK;
}

ncd_status ncd_model_open_header(ncd_model *m, const void *bytes, size_t available, size_t size)
{
    const uint8_t *blob = (const uint8_t *)bytes;
    uint32_t i, crc, header_size;

    if (!m || !bytes || available > size)
        return NCD_ERR_ARG;
    for (i = 0; i < 4 && i < available; ++i)
        if (blob[i] != magic[i])
            return NCD_ERR_CORRUPT;
    if (size < FIXED_SIZE)
        return NCD_ERR_TRUNCATED;
    if (available < FIXED_SIZE)
        return NCD_ERR_ARG;
    if ((ncd_load_u32(blob + 4) & ~((uint32_t)NO_NAMES << 8)) != 1) /* version, flags, reserved */
        return NCD_ERR_UNSUPPORTED;
    header_size = ncd_load_u32(blob + 8);
    if (header_size < FIXED_SIZE)
        return NCD_ERR_CORRUPT;
    if (header_size > size)
        return NCD_ERR_TRUNCATED;
    if (header_size > available)
        return NCD_ERR_ARG;
    crc = ncd_crc32(0, blob, 12);
    crc = ncd_crc32(crc, blob + FIXED_SIZE, header_size - FIXED_SIZE);
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    if (crc != ncd_load_u32(blob + 12))
        return NCD_ERR_CHECKSUM;
#endif
    m->blob = blob;
    m->size = size;
    m->available = available;
    m->header_size = header_size;
    m->has_names = !(blob[5] & NO_NAMES);
    return check_directory(m);
}

ncd_status ncd_model_open(ncd_model *m, const void *blob, size_t size)
{
    return ncd_model_open_header(m, blob, size, size);
}

ncd_status ncd_tensor_open(const ncd_model *m, uint32_t index, ncd_tensor *t)
{
    ncd_record r;
    ncd_status status;
    if (!m || !t || index >= m->n_tensors)
        return NCD_ERR_ARG;
    status = seek(m, index, &r);
    if (status == NCD_OK && r.codec == NCD_CODEC_TIED)
        status = seek(m, r.tied_to, &r);
    if (status != NCD_OK)
        return status;
    if (r.payload_offset > m->available || r.payload_size > m->available - r.payload_offset)
        return NCD_ERR_ARG;
    return ncd_tensor_bind(m, &r, m->blob + r.payload_offset, t);
}

ncd_status ncd_tensor_find(const ncd_model *m, const char *name, uint32_t *index)
{
    ncd_record r;
    uint32_t matched = 0; /* bytes that the current name has in common with the one looked for */
    if (!m || !name || !index || !m->has_names)
        return NCD_ERR_ARG;
    rewind_records(m, &r);
    while (r.index + 1u != m->n_tensors) {
        const ncd_status status = read_record(m, &r);
        if (status != NCD_OK)
            return status;
        if (r.name_prefix <= matched) {
            /* The prefix agrees, so its bytes are no zero and name[matched] exists. */
            uint32_t i = 0;
            matched = r.name_prefix;
            while (i < r.name_suffix_size && name[matched] != 0 && (uint8_t)name[matched] == r.name_suffix[i]) {
                ++matched;
                ++i;
            }
            if (i == r.name_suffix_size && name[matched] == 0) {
                *index = r.index;
                return NCD_OK;
            }
        }
    }
    return NCD_ERR_ARG;
}

ncd_status ncd_model_table(const ncd_model *m, uint32_t index, const uint8_t **table)
{
    ncd_cursor c = directory(m, m->shared_records);
    size_t offset = m->header_size;
    size_t size = 0;
    uint32_t crc = 0;
    ncd_status status;
    if (index >= m->n_shared)
        return NCD_ERR_CORRUPT;
    do {
        offset += size;
        status = read_shared(&c, &size, &crc);
        if (status != NCD_OK)
            return status;
    } while (index-- > 0);
    /* The directory's check has shown that all shared objects are in memory. */
    c.p = m->blob + offset;
    c.end = c.p + size;
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    if (ncd_crc32(0, c.p, size) != crc)
        return NCD_ERR_CHECKSUM;
#endif
    *table = c.p;
    status = ncd_table_read(&c);
    return status == NCD_OK && c.p != c.end ? NCD_ERR_CORRUPT : status;
}
