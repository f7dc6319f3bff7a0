/* The fixed part and the directory of a model stream (docs/format.md section 3). */
#include "internal.h"

/* Whether there are shared objects besides code tables. */
#define MORE_KINDS (NCD_ENABLE_KMEANS || NCD_ENABLE_TRELLIS || NCD_ENABLE_AUTOENCODER || NCD_ENABLE_GENERATIVE)

enum {
    FIXED_SIZE = 16,
    NO_NAMES = 1,
    /* One bit a kind that is known here: all there are, so that a model of which some tensors need a codec that is not
     * compiled in still gives the others. Where there is nothing but code tables, kinds are not told apart. */
    KINDS = 1 << NCD_SHARED_TABLE |
            (MORE_KINDS ? 1 << NCD_SHARED_FREQUENCIES | 1 << NCD_SHARED_BOOK | 1 << NCD_SHARED_TRELLIS |
                              1 << NCD_SHARED_AUTOENCODER | 1 << NCD_SHARED_GENERATIVE
                        : 0)
};

#define MAGIC 0x4D44434Eu /* "NCDM" */

/* A sum of sizes, which stays at SIZE_MAX once it gets there. */
static size_t add_size(size_t total, size_t size)
{
    return size > SIZE_MAX - total ? SIZE_MAX : total + size;
}

/* ---- Shared objects ---- */

/* The directory up to a shared object. */
typedef struct ncd_shared {
    ncd_cursor next; /* what follows its record */
    size_t offset, size;
    uint32_t crc;
#if MORE_KINDS
    uint32_t kind;
#endif
    uint32_t left; /* shared objects from it on; 0 after the last */
} ncd_shared;

/* Walks to shared object `index`, or behind the last one. */
static ncd_status walk_shared(const ncd_model *m, uint32_t index, ncd_shared *s)
{
    s->next.p = m->blob + FIXED_SIZE;
    s->next.end = m->end;
    s->offset = (size_t)(m->end - m->blob);
    s->left = ncd_get_varint32(&s->next);
#if NCD_FULL_CHECK
    if (s->left > 65535)
        return NCD_ERR_CORRUPT;
#endif
    for (; s->left > 0; --s->left) {
        const uint32_t kind = ncd_get_u8(&s->next);
        if (kind > 31u || !((uint32_t)KINDS >> kind & 1u))
            return ncd_is_bad(&s->next) ? NCD_ERR_CORRUPT : NCD_ERR_UNSUPPORTED;
#if MORE_KINDS
        s->kind = kind;
#endif
        s->size = ncd_get_size(&s->next);
        s->crc = ncd_get_u32(&s->next);
        if (ncd_is_bad(&s->next))
            return NCD_ERR_CORRUPT;
        if (index-- == 0)
            break;
        s->offset = add_size(s->offset, s->size);
    }
    return NCD_OK;
}

#if NCD_ENABLE_HUFFMAN || MORE_KINDS
/* Finds a shared object of a kind, and checks it. */
static ncd_status find_shared(const ncd_model *m, uint32_t index, uint32_t kind, ncd_cursor *object)
{
    ncd_shared s;
    const ncd_status status = walk_shared(m, index, &s);
    if (status != NCD_OK)
        return status;
    if (s.left == 0)
        return NCD_ERR_CORRUPT;
#if MORE_KINDS
    if (s.kind != kind)
        return NCD_ERR_CORRUPT;
#else
    (void)kind;
#endif
    /* Opening the model has shown that all shared objects are in memory. */
    object->p = m->blob + s.offset;
    object->end = object->p + s.size;
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    if (ncd_crc32(0, object->p, s.size) != s.crc)
        return NCD_ERR_CHECKSUM;
#endif
    return NCD_OK;
}
#endif

#if NCD_ENABLE_HUFFMAN
ncd_status ncd_model_table(const ncd_model *m, uint32_t index, const uint8_t **table)
{
    ncd_cursor object;
    ncd_status status = find_shared(m, index, NCD_SHARED_TABLE, &object);
    if (status != NCD_OK)
        return status;
    *table = object.p;
    status = ncd_table_read(&object);
    return status == NCD_OK && object.p != object.end ? NCD_ERR_CORRUPT : status;
}
#endif

#if MORE_KINDS
ncd_status ncd_model_shared(const ncd_model *m, ncd_cursor *c, uint32_t kind, ncd_cursor *object)
{
    const uint32_t index = ncd_get_varint32(c);
    return ncd_is_bad(c) ? NCD_ERR_CORRUPT : find_shared(m, index, kind, object);
}
#endif

/* ---- Records of tensors ---- */

/* The dimensions as a matrix. A dimension of 0 empties it, however big the others are. */
static ncd_status read_shape(ncd_cursor *c, ncd_record *r)
{
    uint32_t rows = 1, cols = 1, big = 0, i;
    r->dims = c->p;
    for (i = 0; i < r->ndim; ++i) {
        const size_t d = ncd_get_size(c);
        if (i == 0 && r->ndim > 1) {
            rows = (uint32_t)d;
#if SIZE_MAX > UINT32_MAX
            if (d > UINT32_MAX)
                return NCD_ERR_CORRUPT;
#endif
        } else {
            const uint64_t product = (uint64_t)(uint32_t)d * cols;
#if SIZE_MAX > UINT32_MAX
            big |= d > UINT32_MAX && cols != 0;
#endif
            cols = (uint32_t)product;
            big |= (uint32_t)(product >> 32);
            if (d == 0)
                big = 0;
        }
    }
    r->rows = rows;
    r->cols = cols;
#if NCD_FULL_CHECK
    if ((uint32_t)(((uint64_t)rows * cols) >> 32) >> (24 - ncd_size_log2(r->dtype)))
        return NCD_ERR_CORRUPT;
#endif
    return big ? NCD_ERR_CORRUPT : NCD_OK;
}

void ncd_record_rewind(const ncd_model *m, ncd_record *r)
{
    r->next = m->records;
    r->index = UINT32_MAX;
    r->payload_offset = m->payloads;
    r->payload_size = 0;
}

ncd_status ncd_record_read(const ncd_model *m, ncd_record *r)
{
    ncd_cursor c;
    const size_t offset = add_size(r->payload_offset, r->payload_size);
    const uint32_t index = r->index + 1u; /* unsigned: UINT32_MAX + 1 is 0 */

    c.p = r->next;
    c.end = m->end;
    NCD_FILL(r, 0, sizeof *r);
    r->index = r->tied_to = index;
    r->payload_offset = offset;

    if (m->has_names) {
        r->name_prefix = ncd_get_varint32(&c);
        r->name_suffix_size = ncd_get_varint32(&c);
        r->name_suffix = ncd_get_bytes(&c, r->name_suffix_size);
#if NCD_FULL_CHECK
        if (ncd_is_bad(&c) || r->name_prefix > NCD_NAME_MAX || r->name_suffix_size > NCD_NAME_MAX - r->name_prefix)
            return NCD_ERR_CORRUPT;
#endif
    }
    r->codec = ncd_get_u8(&c);
    if (r->codec == NCD_CODEC_TIED) {
        r->tied_to = ncd_get_varint32(&c);
#if NCD_FULL_CHECK
        if (r->tied_to >= m->n_tensors)
            return NCD_ERR_CORRUPT;
#endif
    } else {
        r->dtype = ncd_get_u8(&c);
        if (r->dtype < NCD_F32 || r->dtype > NCD_COMPLEX64)
            return ncd_is_bad(&c) ? NCD_ERR_CORRUPT : NCD_ERR_UNSUPPORTED;
        r->ndim = ncd_get_u8(&c);
        if (r->ndim > 64 || read_shape(&c, r) != NCD_OK)
            return NCD_ERR_CORRUPT;
        if (r->codec == NCD_CODEC_NAMED) {
            r->codec_name_size = ncd_get_u8(&c);
            r->codec_name = ncd_get_bytes(&c, r->codec_name_size);
#if NCD_FULL_CHECK
            if (!ncd_check_codec_name(r))
                return NCD_ERR_CORRUPT;
#endif
        }
        r->payload_size = ncd_get_size(&c);
        r->payload_crc = ncd_get_u32(&c);
    }
    r->next = c.p;
    return ncd_is_bad(&c) ? NCD_ERR_CORRUPT : NCD_OK;
}

ncd_status ncd_record_next(const ncd_model *m, ncd_record *r)
{
    if (!NCD_GIVEN(m) || !NCD_GIVEN(r))
        return NCD_ERR_ARG;
    if (!r->next)
        ncd_record_rewind(m, r);
    if (r->index + 1u >= m->n_tensors)
        return NCD_ERR_ARG;
    return ncd_record_read(m, r);
}

ncd_status ncd_record_seek(const ncd_model *m, uint32_t index, ncd_record *r)
{
    ncd_status status = NCD_OK;
    ncd_record_rewind(m, r);
    while (status == NCD_OK && r->index != index)
        status = ncd_record_read(m, r);
    return status;
}

/* ---- Models ---- */

/* Reads all records. */
static ncd_status read_records(const ncd_model *m, ncd_record *r)
{
#if NCD_FULL_CHECK
    ncd_names names;
    uint32_t ties = 0;
    NCD_FILL(&names, 0, sizeof names);
    ncd_record_rewind(m, r);
    while (r->index + 1u != m->n_tensors) {
        ncd_status status = ncd_record_read(m, r);
        /* The name comes first in the record, so its fault counts before that of a dtype. */
        if (status != NCD_ERR_CORRUPT && m->has_names && !ncd_check_name(m, &names, r))
            status = NCD_ERR_CORRUPT;
        ties |= r->codec == NCD_CODEC_TIED;
        if (status != NCD_OK)
            return status;
    }
    if (r->next != m->end)
        return NCD_ERR_CORRUPT;
    return ties ? ncd_check_ties(m) : NCD_OK;
#else
    const ncd_status status = ncd_record_seek(m, m->n_tensors - 1u, r);
    return status == NCD_OK && r->next != m->end ? NCD_ERR_CORRUPT : status;
#endif
}

/* Apart from what opens a model, so that its memory is not there during checksums and the like. */
static NCD_NOINLINE ncd_status check_records(const ncd_model *m)
{
    ncd_record r;
    const ncd_status status = read_records(m, &r);
    const size_t total = add_size(r.payload_offset, r.payload_size);
    if (status != NCD_OK || total == m->size)
        return status;
    return total > m->size ? NCD_ERR_TRUNCATED : NCD_ERR_CORRUPT;
}

static ncd_status check_directory(ncd_model *m)
{
    ncd_shared s;
    ncd_status status = walk_shared(m, UINT32_MAX, &s);
    if (status != NCD_OK)
        return status;
    m->n_tensors = ncd_get_varint32(&s.next);
    if (ncd_is_bad(&s.next) || m->n_tensors > NCD_TENSORS_MAX)
        return NCD_ERR_CORRUPT;
    m->records = s.next.p;
    m->payloads = s.offset;

    status = check_records(m);
#if NCD_FULL_CHECK
    if (status == NCD_OK && m->payloads > m->available)
        return NCD_ERR_ARG;
#endif
    return status;
}

#if NCD_FULL_CHECK
ncd_status ncd_model_open_header(ncd_model *m, const void *bytes, size_t available, size_t size)
#else
ncd_status ncd_model_open(ncd_model *m, const void *bytes, size_t size)
#endif
{
    const uint8_t *blob = (const uint8_t *)bytes;
    uint32_t crc, header_size;

#if NCD_FULL_CHECK
    if (!m || !bytes || available > size)
        return NCD_ERR_ARG;
    m->available = available;
#endif
    if (size < FIXED_SIZE)
        return NCD_ERR_TRUNCATED;
#if NCD_FULL_CHECK
    if (available < FIXED_SIZE)
        return NCD_ERR_ARG;
#endif
    if (ncd_load_u32(blob) != MAGIC)
        return NCD_ERR_CORRUPT;
    if ((ncd_load_u32(blob + 4) & ~((uint32_t)NO_NAMES << 8)) != 1) /* version, flags, reserved */
        return NCD_ERR_UNSUPPORTED;
    m->blob = blob;
    m->size = size;
    header_size = ncd_load_u32(blob + 8);
    m->has_names = !(blob[5] & NO_NAMES);
    if (header_size < FIXED_SIZE)
        return NCD_ERR_CORRUPT;
    if (header_size > size)
        return NCD_ERR_TRUNCATED;
#if NCD_FULL_CHECK
    if (header_size > available)
        return NCD_ERR_ARG;
#endif
    m->end = blob + header_size;
    crc = ncd_crc32(0, blob, 12);
    crc = ncd_crc32(crc, blob + FIXED_SIZE, header_size - FIXED_SIZE);
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    if (crc != ncd_load_u32(blob + 12))
        return NCD_ERR_CHECKSUM;
#endif
    return check_directory(m);
}

#if NCD_FULL_CHECK
ncd_status ncd_model_open(ncd_model *m, const void *blob, size_t size)
{
    return ncd_model_open_header(m, blob, size, size);
}
#endif

/* A function of its own, so that the record is gone when the payload is read. */
static NCD_NOINLINE ncd_status find_payload(const ncd_model *m, uint32_t index, ncd_tensor *t)
{
    ncd_record r;
    ncd_status status = ncd_record_seek(m, index, &r);
    if (status == NCD_OK && r.codec == NCD_CODEC_TIED)
        status = ncd_record_seek(m, r.tied_to, &r);
    if (status != NCD_OK)
        return status;
#if NCD_FULL_CHECK
    if (r.payload_offset > m->available || r.payload_size > m->available - r.payload_offset)
        return NCD_ERR_ARG;
#endif
    return ncd_tensor_set(&r, m->blob + r.payload_offset, t);
}

ncd_status ncd_tensor_open(const ncd_model *m, uint32_t index, ncd_tensor *t)
{
    ncd_status status;
    if (!NCD_GIVEN(m) || !NCD_GIVEN(t) || index >= m->n_tensors)
        return NCD_ERR_ARG;
    status = find_payload(m, index, t);
    return status == NCD_OK ? ncd_tensor_read(m, t) : status;
}

ncd_status ncd_tensor_find(const ncd_model *m, const char *name, uint32_t *index)
{
    ncd_record r;
    uint32_t matched = 0; /* bytes that the current name has in common with the one looked for */
    if (!NCD_GIVEN(m) || !NCD_GIVEN(name) || !NCD_GIVEN(index) || !m->has_names)
        return NCD_ERR_ARG;
    ncd_record_rewind(m, &r);
    while (r.index + 1u != m->n_tensors) {
        const ncd_status status = ncd_record_read(m, &r);
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
