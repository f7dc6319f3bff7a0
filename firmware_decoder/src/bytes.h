/* Checked reads of a byte string. A cursor that was once asked for more than it holds stays bad and gives zeros, so a
 * parser may read a group of fields and test once. */
#ifndef NCD_BYTES_H
#define NCD_BYTES_H

#include <stddef.h>
#include <stdint.h>

typedef struct ncd_cursor {
    const uint8_t *p, *end; /* both null: it is bad */
} ncd_cursor;

static inline int ncd_is_bad(const ncd_cursor *c)
{
    return !c->p;
}

/* The next byte. */
uint8_t ncd_get_u8(ncd_cursor *c);

/* Skips n bytes and gives their start, or null if they are not all there. */
const uint8_t *ncd_get_bytes(ncd_cursor *c, size_t n);

/* Skips a bit string of n fields of `width` bits and gives its start. */
const uint8_t *ncd_get_fields(ncd_cursor *c, uint32_t n, uint32_t width);

/* An integer of four bytes. */
uint32_t ncd_get_u32(ncd_cursor *c);

/* A varint of at most eight bytes in its shortest form; any other is bad, and so is one that a size_t cannot hold. */
size_t ncd_get_size(ncd_cursor *c);

/* A varint whose legal values are below 2^32; any other is bad. */
uint32_t ncd_get_varint32(ncd_cursor *c);

/* The integer of four bytes at p. */
static inline uint32_t ncd_load_u32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

#endif
