/* A layer, its weights and its input in one byte string, so that the same cases run on a host and on boards.
 *
 * All in words of 32 bits, little-endian: kind, number of fields, number of blobs, the fields, then each blob: its size in
 * bytes, its bytes, filled up to a word. nn_cases.py writes them and says what the fields are. */
#ifndef CASE_H
#define CASE_H

#include "ncd_nn.h"

/* Runs a case. out: what the layer wrote, out_size bytes, until the next call. */
ncd_status case_run(const uint8_t *data, uint8_t **out, size_t *out_size);

/* Gives all memory back. */
void case_free(void);

static inline uint32_t case_word(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

#endif
