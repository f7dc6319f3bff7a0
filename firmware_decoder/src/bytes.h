/* Checked reads of a byte string. A cursor that was once asked for more than it holds stays `bad` and gives zeros, so a
 * parser may read a group of fields and test once. */
#ifndef NCD_BYTES_H
#define NCD_BYTES_H

#include <stddef.h>
#include <stdint.h>

typedef struct ncd_cursor {
    const uint8_t *p, *end;
    uint8_t bad;
} ncd_cursor;

/* The next byte. */
uint32_t ncd_get_u8(ncd_cursor *c);

/* Skips n bytes and gives their start, or null if they are not all there. */
const uint8_t *ncd_get_bytes(ncd_cursor *c, size_t n);

/* Skips a bit string of n fields of `width` bits, whose unused last bits must be zero, and gives its start. */
const uint8_t *ncd_get_fields(ncd_cursor *c, uint32_t n, uint32_t width);

/* An integer of four bytes. */
uint32_t ncd_get_u32(ncd_cursor *c);

/* A varint of at most eight bytes in its shortest form; any other is bad. */
uint64_t ncd_get_varint(ncd_cursor *c);

/* A varint that counts bytes in memory. Larger ones than a size_t holds come back as SIZE_MAX, which the test against
 * the bytes that there are then refuses. */
size_t ncd_get_size(ncd_cursor *c);

/* A varint whose legal values end below 2^32 - 1. Larger ones come back as UINT32_MAX, which the caller's test of the
 * range then refuses. */
uint32_t ncd_get_varint32(ncd_cursor *c);

/* The integer of `width` bytes, at most 8, at p; SIZE_MAX where it is greater. */
size_t ncd_load_size(const uint8_t *p, uint32_t width);

/* The integer of four bytes at p. */
uint32_t ncd_load_u32(const uint8_t *p);

#endif
