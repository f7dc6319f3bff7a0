/* The quantizers of a trellis: which values a state has at its disposal, and to which state they lead (docs/format.md section
 * 12.1). Decoders and encoders of codecs 4 and 6 have it from here, so that others can be put in their place: under another
 * number, for which a model's first byte has three bits. */
#ifndef NCD_QUANTIZER_H
#define NCD_QUANTIZER_H

#include "internal.h"

/* Ungerboeck's polynomials h0 and h1 without their last bit, by log2 of the number of states, 0 or 2 to 8. */
NCD_INLINE const uint8_t *ncd_quantizer_polynomials(uint32_t states_log2)
{
    static const uint8_t halves[9][2] = {{0, 0}, {0, 0}, {2, 1}, {5, 2}, {9, 2}, {18, 4}, {33, 10}, {78, 43}, {166, 121}};
    return halves[states_log2];
}

/* The subset, 0 or 1, that a value of quantizer u is in. */
NCD_INLINE uint32_t ncd_quantizer_subset(int32_t value, uint32_t u)
{
    return ((uint32_t)value + u) >> 1 & 1u;
}

/* The state after state s and a value of subset x. h: polynomials. */
NCD_INLINE uint32_t ncd_quantizer_next(const uint8_t *h, uint32_t s, uint32_t x)
{
    return s >> 1 ^ (s & 1u ? h[0] : 0u) ^ (x ? h[1] : 0u);
}

/* How many quantizers there are: one without a trellis, else the even values and the odd ones. */
NCD_INLINE uint32_t ncd_quantizer_count(uint32_t states_log2)
{
    return states_log2 ? 2 : 1;
}

/* How many of the values -lo to hi quantizer u has. */
NCD_INLINE uint32_t ncd_quantizer_values(uint32_t states_log2, uint32_t lo, uint32_t hi, uint32_t u)
{
    return states_log2 ? (lo + u) / 2u + (hi + u) / 2u + 1u - u : lo + hi + 1u;
}

/* The i-th of them, from 0. */
NCD_INLINE int32_t ncd_quantizer_value(uint32_t states_log2, uint32_t lo, uint32_t u, uint32_t i)
{
    return (int32_t)(states_log2 ? 2u * i + ((lo ^ u) & 1u) : i) - (int32_t)lo;
}

#endif
