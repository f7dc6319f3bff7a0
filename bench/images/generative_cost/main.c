/* Counts the instructions that the model of codec generative takes for levels that lie in flash, for
 * bench/generative_ablation.py, which builds it beside generative_model.h or a variant of it. A coder that is told the bits
 * does the arithmetic of the decoder's. The levels are one tile, as bench/native/generative_cost.c reads it. */
#include "port.h"

typedef struct counter {
    uint32_t low, high, bytes;
} counter;

static inline uint32_t code(counter *c, uint32_t p, uint32_t bit)
{
    const uint32_t range = c->high - c->low;
    const uint32_t middle = c->low + (range >> 16) * p + ((range & 0xFFFFu) * p >> 16);
    if (bit)
        c->high = middle;
    else
        c->low = middle + 1;
    while (((c->low ^ c->high) >> 24) == 0) {
        c->low <<= 8;
        c->high = c->high << 8 | 255u;
        ++c->bytes;
    }
    return bit;
}

#define NCD_GENERATIVE_CODER counter
#define NCD_GENERATIVE_CODE(c, p, bit) code(c, p, bit)
#include "generative_model.h"

enum { PIECE = 64, COLUMNS = 4096 };

extern const uint8_t model_stream[];
static uint32_t memory[(sizeof(ncd_generative_model) + 2 * COLUMNS + 3) / 4];

int main(void)
{
    const int32_t *const fields = (const int32_t *)(const void *)model_stream;
    const int16_t *const levels = (const int16_t *)(const void *)(model_stream + 28);
    const uint32_t n = (uint32_t)(fields[0] * fields[1]), cols = (uint32_t)fields[1];
    const uint8_t bytes[5] = {NCD_GENERATIVE_VERSION, (uint8_t)fields[3], (uint8_t)fields[6], (uint8_t)fields[5],
                              (uint8_t)fields[4]};
    ncd_generative_model *const m = (ncd_generative_model *)(void *)memory;
    counter coder = {0, 0xFFFFFFFFu, 0};
    ncd_generative_head head;
    ncd_generative_walk w;
    ncd_cursor c;
    uint32_t i, from, begin;
    uint64_t sum = 0;

    c.p = bytes;
    c.end = bytes + sizeof bytes;
    if (cols > COLUMNS || fields[4] > 127 || ncd_generative_read_head(&c, &head) != NCD_OK)
        return PORT_FAILED;
    ncd_generative_tables(m);
    from = port_counter();
    ncd_generative_reset(m, ncd_generative_prior);
    begin = port_instructions(from, port_counter());
    w.m = m;
    w.coder = &coder;
    w.columns = ncd_generative_columns(m);
    w.head = &head;
    ncd_generative_begin(&w, cols, 0);
    for (i = 0; i < n;) {
        const uint32_t last = n - i < PIECE ? n : i + PIECE;
        from = port_counter();
        for (; i < last; ++i)
            if (ncd_generative_level(&w, levels, 1, levels[i]) != levels[i])
                return PORT_FAILED;
        sum += port_instructions(from, port_counter());
    }
    port_print("begin", begin);
    port_print("bytes", coder.bytes);
    port_print("per_weight_x100", (int64_t)(sum * 100u / n));
    return PORT_OK;
}
