/* Codec 5: predicted weights, and residuals whose spread is predicted, too (docs/format.md section 14). */
#include "autoencoder.h"

#if NCD_ENABLE_AUTOENCODER

enum { SHARED = 4, ZEROS = 8 };
enum { LOWEST = 1 << 16 };

/* ---- Header ---- */

static ncd_status find_model(const ncd_model *m, ncd_cursor *c, uint32_t mode, ncd_tensor *t)
{
    size_t used = 0;
    ncd_ae_class found;
    ncd_cursor object;
    ncd_status status;
    if (mode & SHARED) {
        status = ncd_model_shared(m, c, NCD_SHARED_AUTOENCODER, &object);
        if (status != NCD_OK)
            return status;
        t->model_index = ncd_get_u8(c);
        if (ncd_is_bad(c))
            return NCD_ERR_CORRUPT;
        t->model = object.p;
        status = ncd_ae_model_read(object.p, (size_t)(object.end - object.p), t->model_index, &found, &used);
        return status == NCD_OK && used != (size_t)(object.end - object.p) ? NCD_ERR_CORRUPT : status;
    } else {
        const uint32_t version = ncd_get_varint32(c);
        size_t size = 0;
        t->model_index = ncd_get_u8(c);
        if (ncd_is_bad(c))
            return NCD_ERR_CORRUPT;
        t->model = ncd_ae_universal(version, &size);
        if (!t->model)
            return NCD_ERR_UNSUPPORTED;
        return t->model_index > t->model[1] ? NCD_ERR_CORRUPT : NCD_OK;
    }
}

/* Kernel and taps. */
static ncd_status read_predictor(ncd_cursor *c, ncd_tensor *t)
{
    uint32_t i, head, bias;
    t->period = (uint16_t)(ncd_get_u8(c) + 1u);
    head = ncd_get_u8(c);
    if (head >> 7)
        return NCD_ERR_UNSUPPORTED;
    t->taps = (uint8_t)(head & 15u);
    t->fraction_bits = (uint8_t)(head >> 4 & 7u);
    if (t->taps > NCD_AE_TAPS || t->fraction_bits > 4)
        return NCD_ERR_CORRUPT;
    bias = ncd_get_u32(c) + 0x1000000u;
    if (bias - 1u >= 0x1FFFFFFu)
        return NCD_ERR_CORRUPT;
    t->bias = (int32_t)bias - 0x1000000;
    t->predictor = c->p;
    for (i = 0; i < t->taps; ++i) {
        const uint8_t *const tap = ncd_get_bytes(c, 3);
        if (!tap || ncd_ae_u16(tap) == 0)
            return NCD_ERR_CORRUPT;
    }
    return ncd_is_bad(c) ? NCD_ERR_CORRUPT : NCD_OK;
}

ncd_status ncd_autoencoder_bind(const ncd_model *m, ncd_tensor *t)
{
    ncd_cursor c;
    ncd_status status;
    uint32_t mode;

    c.p = t->payload;
    c.end = t->end;
    mode = ncd_get_u8(&c);
    if (ncd_is_bad(&c))
        return NCD_ERR_CORRUPT;
    if (mode >> 4 || (mode & (SHARED | ZEROS)) == (SHARED | ZEROS))
        return NCD_ERR_UNSUPPORTED;
    status = ncd_tensor_read_levels(t, &c, mode);
    if (status != NCD_OK)
        return status;
    t->data = c.p;
    if (mode & ZEROS) {
        t->zeros = 1;
        return ncd_is_bad(&c) || c.p != c.end ? NCD_ERR_CORRUPT : NCD_OK;
    }
    status = find_model(m, &c, mode, t);
    if (status == NCD_OK)
        status = read_predictor(&c, t);
    if (status != NCD_OK)
        return status;
    if (t->period == 1)
        t->period = 0;
    return ncd_tiles_read_index(t, &c);
}

/* ---- Tiles ---- */

/* Room for what is remembered of columns, where a tile has several rows, and of places in a kernel. */
static uint32_t columns_of(const ncd_tensor *t)
{
    return t->tile_rows > 1 ? t->tile_cols : 0;
}

size_t ncd_autoencoder_workspace(const ncd_tensor *t)
{
    const size_t places = t->zeros ? 0 : (size_t)columns_of(t) + t->period;
    return places ? 4u + ((2u * places + 3u) & ~(size_t)3u) : 0;
}

void ncd_autoencoder_prepare(const ncd_tensor *t, uint32_t *workspace)
{
    *workspace = ncd_tag(t->payload, 0);
}

/* What is left of a tile's data. */
typedef struct source {
    const uint8_t *src, *end;
    uint32_t x;
} source;

NCD_INLINE void refill(source *s)
{
    if (s->x < LOWEST && s->src != s->end) {
        s->x = s->x << 16 | ncd_ae_u16(s->src);
        s->src += 2;
    }
}

NCD_INLINE uint32_t take_bits(source *s, uint32_t width)
{
    const uint32_t bits = s->x & ((1u << width) - 1u);
    s->x >>= width;
    refill(s);
    return bits;
}

/* A residual, at a spread. Its magnitude is below 2^26. */
NCD_INLINE int32_t take_residual(const ncd_ae_class *c, source *s, uint32_t spread, uint32_t *magnitude)
{
    const uint32_t raw = ncd_ae_raw_bits(spread), slot = s->x & ((1u << NCD_AE_SLOTS_LOG2) - 1u);
    uint32_t count, token = 0, before = 0, sum, value;
    const uint8_t *p = ncd_ae_table(c, spread - 4u * raw, &count);
    for (;; ++token, p += 2) {
        sum = ncd_ae_u16(p);
        if (slot < sum)
            break;
        before = sum;
    }
    s->x = (sum - before) * (s->x >> NCD_AE_SLOTS_LOG2) + (slot - before);
    refill(s);
    value = token;
    if (token + 1u == count) {
        const uint32_t length = take_bits(s, 4);
        value += (1u << length) - 1u;
        if (length)
            value += take_bits(s, length);
    }
    if (raw)
        value = value << raw | take_bits(s, raw);
    *magnitude = value;
    if (value == 0)
        return 0;
    return take_bits(s, 1) ? -(int32_t)value : (int32_t)value;
}

NCD_INLINE int32_t level_at(const void *out, const int wide, uint32_t i)
{
    return wide ? ((const int16_t *)out)[i] : ((const int8_t *)out)[i];
}

/* Decodes n levels; `wide` is a constant where it is called. */
NCD_INLINE ncd_status take_levels(const ncd_tensor *t, ncd_ae_state *state, source *s, const int wide, void *out,
                                  uint32_t n)
{
    const int32_t most = wide ? 32767 : 127;
    uint32_t lags[NCD_AE_TAPS], i, k, z;
    int32_t coefficients[NCD_AE_TAPS];
    ncd_ae_class c;

    ncd_ae_class_of(t->model, t->model_index, &c);
    for (k = 0; k < t->taps; ++k) {
        const uint32_t byte = t->predictor[3u * k + 2u];
        lags[k] = ncd_ae_u16(t->predictor + 3u * k);
        coefficients[k] = (int32_t)byte - (byte & 128u ? 256 : 0);
    }
    z = take_bits(s, NCD_AE_START_BITS);
    ncd_ae_begin(state, z);
    for (i = 0; i < n; ++i) {
        uint32_t magnitude;
        int32_t sum = t->bias + 32, level;
        const int32_t residual = take_residual(&c, s, ncd_ae_spread(&c, state), &magnitude);
        for (k = 0; k < t->taps; ++k)
            if (i >= lags[k])
                sum += coefficients[k] * level_at(out, wide, i - lags[k]);
        /* Two's complement, shifted down: the sum is above -2^30. */
        level = (int32_t)(((uint32_t)sum + 0x40000000u) >> 6) - 0x1000000 + residual * (int32_t)(1u << t->fraction_bits);
        if (level > most || level < -most - 1)
            return NCD_ERR_CORRUPT;
        if (wide)
            ((int16_t *)out)[i] = (int16_t)level;
        else
            ((int8_t *)out)[i] = (int8_t)level;
        ncd_ae_update(state, magnitude);
    }
    return s->x == 0 && s->src == s->end ? NCD_OK : NCD_ERR_CORRUPT;
}

static NCD_NOINLINE ncd_status take_narrow(const ncd_tensor *t, ncd_ae_state *state, source *s, void *out, uint32_t n)
{
    return take_levels(t, state, s, 0, out, n);
}

static NCD_NOINLINE ncd_status take_wide(const ncd_tensor *t, ncd_ae_state *state, source *s, void *out, uint32_t n)
{
    return take_levels(t, state, s, 1, out, n);
}

ncd_status ncd_autoencoder_tile(const ncd_tensor *t, uint32_t tile, void *dst, uint32_t n, const void *workspace)
{
    const uint32_t columns = columns_of(t);
    const int wide = t->mode == NCD_MODE_WIDE;
    uint32_t *const memory = (uint32_t *)(uintptr_t)workspace; /* the caller's, which is not const */
    ncd_ae_state state;
    source s;
    size_t size;
    ncd_status status;

    if (t->zeros) {
        NCD_FILL(dst, 0, wide ? 2u * (size_t)n : n);
        return NCD_OK;
    }
    if ((columns || t->period) && (!memory || ((uintptr_t)memory & 3u) || *memory != ncd_tag(t->payload, 0)))
        return NCD_ERR_WORKSPACE; /* another tensor's may be too small */
    status = ncd_tiles_extent(t, tile, &s.src, &size);
    if (status != NCD_OK)
        return status;
    if (size & 1u)
        return NCD_ERR_CORRUPT;
    s.end = s.src + size;
    s.x = 0;
    refill(&s);
    refill(&s);
    state.column = columns ? (uint16_t *)(void *)(memory + 1) : NULL;
    state.kernel = t->period ? (uint16_t *)(void *)(memory + 1) + columns : NULL;
    state.cols = t->tile_cols;
    state.period = t->period;
    return wide ? take_wide(t, &state, &s, dst, n) : take_narrow(t, &state, &s, dst, n);
}

#endif
