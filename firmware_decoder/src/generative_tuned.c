/* Shared objects of kind 7: weights of the mix that a model's own levels have tuned (docs/format.md section 15.5). */
#include "generative.h"
#include "generative_coder.h"

#if NCD_ENABLE_GENERATIVE

enum { SIZES = 8, MOST = 31 };

/* Probabilities that adapt: of a set that is changed, of a weight, and of each step of a change's size. */
typedef struct chances {
    uint16_t set, weight, larger[SIZES];
} chances;

static uint32_t take(ncd_generative_decoder *c, uint16_t *p)
{
    const uint32_t was = *p, bit = ncd_generative_decode(c, was);
    *p = (uint16_t)(bit ? was + ((65535u - was) >> 5) : was - (was >> 5));
    return bit;
}

/* How much a weight is changed, in units of the object. */
static int32_t change(ncd_generative_decoder *c, chances *of)
{
    uint32_t size = 1, negative;
    if (!take(c, &of->weight))
        return 0;
    negative = ncd_generative_decode(c, 32768u);
    while (size < MOST && take(c, &of->larger[size <= SIZES ? size - 1 : SIZES - 1]))
        ++size;
    return negative ? -(int32_t)size : (int32_t)size;
}

/* Sets of weights, the bytes of whose prior are `prior`; `to`: where the weights lie, or null. Whether all can be. */
static int tune(ncd_generative_decoder *c, chances *of, int32_t unit, const uint8_t *prior, int32_t *to, uint32_t sets)
{
    uint32_t s, i;
    for (s = 0; s < sets; ++s) {
        if (!take(c, &of->set))
            continue;
        for (i = s * NCD_GENERATIVE_INPUTS; i < (s + 1) * NCD_GENERATIVE_INPUTS; ++i) {
            const int32_t byte = prior[i] + change(c, of) * unit;
            if (byte < 0 || byte > 255)
                return 0;
            if (to)
                to[i] = (byte - 128) * 512;
        }
    }
    return 1;
}

ncd_status ncd_generative_tune(const uint8_t *object, const uint8_t *end, ncd_generative_model *m)
{
    const uint8_t *const prior = ncd_generative_prior + NCD_GENERATIVE_PRIOR_CELLS;
    ncd_generative_decoder c;
    chances of;
    int32_t unit;
    uint32_t i;
    if (object == end)
        return NCD_ERR_CORRUPT;
    if (object[0] >> 3)
        return NCD_ERR_UNSUPPORTED;
    unit = (int32_t)(1u << object[0]);
    if (ncd_generative_start(&c, object + 1, end) != NCD_OK)
        return NCD_ERR_CORRUPT;
    of.set = 2048;
    of.weight = 32768;
    for (i = 0; i < SIZES; ++i)
        of.larger[i] = 32768;
    if (!tune(&c, &of, unit, prior, m ? m->first : NULL, NCD_GENERATIVE_PRIOR_FIRST / NCD_GENERATIVE_INPUTS) ||
        !tune(&c, &of, unit, prior + NCD_GENERATIVE_PRIOR_FIRST, m ? m->second : NULL,
              NCD_GENERATIVE_PRIOR_SECOND / NCD_GENERATIVE_INPUTS))
        return NCD_ERR_CORRUPT;
    return c.src == c.end ? NCD_OK : NCD_ERR_CORRUPT;
}

#endif
