/* What a host with AVX2 decodes many tiles of codec 4 with. */
#ifndef NCD_TRELLIS_VECTOR_H
#define NCD_TRELLIS_VECTOR_H

#include "trellis.h"

#if NCD_TRELLIS_VECTOR

/* Whether tables for vectors are worth their while for so many tiles, and can be made. */
int ncd_trellis_vector_fits(const ncd_trellis_model *f, uint32_t tiles);

/* Bytes that they take, behind a workspace. */
uint32_t ncd_trellis_vector_size(const ncd_trellis_model *f);

/* Makes them from a workspace that is there, at an offset from it. */
void ncd_trellis_vector_build(const ncd_trellis_model *f, uint8_t *ws, uint32_t offset);

/* Whether this processor has the instructions. */
int ncd_trellis_vector_here(void);

/* Decodes symbols of `count` tiles, at most NCD_TRELLIS_TILES, of n levels each, and tells how many of each are done; the
 * rest, which may be all, is left to others. Gives 0 where a level does not fit. */
int ncd_trellis_vector_take(const uint32_t *memory, ncd_trellis_lane *lanes, uint8_t *const *out, const uint32_t *n,
                            uint32_t *done, uint32_t count, int wide);

#endif

#endif
