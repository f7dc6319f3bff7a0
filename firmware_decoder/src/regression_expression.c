/* Weights by an expression of their place and of stored weights near them (docs/format.md section 13.3). */
#include "regression.h"

#if NCD_ENABLE_REGRESSION

enum { INPUTS = 11, CONSTANTS_MAX = 32, NODES_MAX = 64 };
enum { ROW, COLUMN, PLANE, LINE, PLACE, BEFORE, AFTER, SINCE, UNTIL, ABOVE, LAST }; /* the inputs */
enum { ADD, SUB, MUL, MUL_HIGH, DIV, MIN, MAX, ABS, LESS, XOR, AND, SHIFT, SINE, MEAN, SIGN, OPERATIONS };

/* Parameters, which have been checked. */
typedef struct layout {
    uint32_t plane, line; /* A and B */
    uint32_t constants, nodes;
    const uint8_t *constant, *node; /* 2 and 3 bytes each; the output follows the last node */
} layout;

static ncd_status read_layout(ncd_cursor *c, layout *l)
{
    l->plane = ncd_get_varint32(c);
    l->line = ncd_get_varint32(c);
    l->constants = ncd_get_u8(c);
    if (ncd_is_bad(c) || l->plane == 0 || l->line == 0 || l->constants > CONSTANTS_MAX)
        return NCD_ERR_CORRUPT;
    l->constant = ncd_get_bytes(c, 2u * (size_t)l->constants);
    l->nodes = ncd_get_u8(c);
    if (ncd_is_bad(c) || l->nodes > NODES_MAX)
        return NCD_ERR_CORRUPT;
    l->node = ncd_get_bytes(c, 3u * (size_t)l->nodes + 1u);
    return ncd_is_bad(c) ? NCD_ERR_CORRUPT : NCD_OK;
}

ncd_status ncd_expression_read(ncd_cursor *c, ncd_tensor *t)
{
    layout l;
    const ncd_status status = read_layout(c, &l);
    uint32_t i, there = INPUTS;
    (void)t;
    if (status != NCD_OK)
        return status;
    there += l.constants;
    for (i = 0; i < l.nodes; ++i, ++there) {
        const uint8_t *const node = l.node + 3u * i;
        if (node[0] >= OPERATIONS)
            return NCD_ERR_UNSUPPORTED;
        if (node[1] >= there || node[2] >= there)
            return NCD_ERR_CORRUPT;
    }
    return l.node[3u * l.nodes] < there ? NCD_OK : NCD_ERR_CORRUPT;
}

/* The lowest 16 bits in two's complement. */
static int32_t low16(uint32_t v)
{
    return (int32_t)((v & 0xFFFFu) ^ 0x8000u) - 0x8000;
}

/* 1024 sin(2 pi a / 1024), by the rational approximation of Bhaskara I. */
static int32_t sine(int32_t a)
{
    const uint32_t x = (uint32_t)a & 511u, z = x * (512u - x);
    const int32_t s = (int32_t)((z << 14) / (1310720u - 4u * z));
    return (uint32_t)a & 512u ? -s : s;
}

static int32_t apply(uint32_t operation, int32_t a, int32_t b)
{
    switch (operation) {
    case ADD: return low16((uint32_t)a + (uint32_t)b);
    case SUB: return low16((uint32_t)a - (uint32_t)b);
    case MUL: return low16((uint32_t)a * (uint32_t)b);
    case MUL_HIGH: return low16((uint32_t)ncd_floor_shift((uint32_t)(a * b), 8));
    case DIV: return b == 0 ? 0 : low16((uint32_t)(a * 256 / b));
    case MIN: return a < b ? a : b;
    case MAX: return a > b ? a : b;
    case ABS: return a < 0 ? low16(0u - (uint32_t)a) : a;
    case LESS: return a < b ? 256 : 0;
    case XOR: return low16((uint32_t)a ^ (uint32_t)b);
    case AND: return low16((uint32_t)a & (uint32_t)b);
    case SHIFT: return ncd_floor_shift((uint32_t)a, (uint32_t)b & 15u);
    case SINE: return sine(a);
    case MEAN: return ncd_floor_shift((uint32_t)(a + b), 1);
    default: return b < 0 ? low16(0u - (uint32_t)a) : a; /* SIGN */
    }
}

static int32_t get(const void *dst, uint32_t i, int wide)
{
    return wide ? ((const int16_t *)dst)[i] : ((const int8_t *)dst)[i];
}

void ncd_expression_tile(const ncd_inference *i)
{
    const ncd_tensor *const t = i->t;
    const int wide = t->mode == NCD_MODE_WIDE;
    const uint32_t fraction = t->fraction;
    int16_t value[INPUTS + CONSTANTS_MAX + NODES_MAX];
    ncd_cursor c;
    layout l;
    uint32_t row, k;
    uint8_t *dst = (uint8_t *)i->dst;

    c.p = t->params;
    c.end = t->data;
    (void)read_layout(&c, &l);
    for (k = 0; k < l.constants; ++k)
        value[INPUTS + k] = (int16_t)low16(l.constant[2u * k] | (uint32_t)l.constant[2u * k + 1u] << 8);
    for (k = BEFORE; k < INPUTS; ++k)
        value[k] = 0;
    for (row = 0; row < i->rows; ++row, dst += (size_t)i->cols << wide) {
        uint32_t at, next = 0, before = 0; /* next: the stored weight behind, from 1 on; before: likewise in front */
        value[ROW] = (int16_t)low16(i->row + row);
        value[BEFORE] = value[AFTER] = value[LAST] = 0;
        for (at = 0; at < i->cols; ++at) {
            const uint32_t col = i->col + at, inside = col % l.plane;
            const uint8_t *node = l.node;
            int16_t *out = value + INPUTS + l.constants;
            if (t->replaces && get(dst, at, wide) != 0) {
                ncd_move_level(dst, at, wide, fraction, 0);
                value[BEFORE] = value[LAST] = (int16_t)get(dst, at, wide);
                before = at + 1u;
                continue;
            }
            if (t->replaces) {
                if (next <= at + 1u && next != UINT32_MAX) {
                    for (next = at + 1u; next < i->cols && get(dst, next, wide) == 0; ++next) {
                    }
                    next = next < i->cols ? next + 1u : UINT32_MAX;
                    value[AFTER] = 0;
                    if (next != UINT32_MAX)
                        value[AFTER] = (int16_t)ncd_nearest_level(
                            (int32_t)((uint32_t)get(dst, next - 1u, wide) << fraction), wide);
                }
                value[SINCE] = (int16_t)(before ? low16(at + 1u - before) : 0);
                value[UNTIL] = (int16_t)(next != UINT32_MAX ? low16(next - 1u - at) : 0);
                value[ABOVE] = (int16_t)(at >= l.line ? get(dst, at - l.line, wide) : 0);
            }
            value[COLUMN] = (int16_t)low16(col);
            value[PLANE] = (int16_t)low16(col / l.plane);
            value[LINE] = (int16_t)low16(inside / l.line);
            value[PLACE] = (int16_t)low16(inside % l.line);
            for (k = 0; k < l.nodes; ++k, node += 3)
                *out++ = (int16_t)apply(node[0], value[node[1]], value[node[2]]);
            ncd_move_level(dst, at, wide, fraction, value[*node]);
            if (t->replaces)
                value[LAST] = (int16_t)get(dst, at, wide);
        }
    }
}

#endif
