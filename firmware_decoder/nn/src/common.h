/* What the kernels share: memory that they carve from a layer's scratch, and what depends on the compiler. */
#ifndef NCD_NN_COMMON_H
#define NCD_NN_COMMON_H

#include "ncd_nn.h"

#if defined(__GNUC__)
#define NCD_NN_INLINE static inline __attribute__((always_inline))
#define NCD_NN_NOINLINE __attribute__((noinline))
#define NCD_NN_COPY __builtin_memcpy /* with -ffreestanding a small memcpy would be a call, and there is no string.h */
#define NCD_NN_FILL __builtin_memset
#define NCD_NN_SHORT_LOOP() __asm__ volatile("") /* not to become a call of memset or memcpy, for a few bytes */
#else
#include <string.h>
#define NCD_NN_SHORT_LOOP() ((void)0)
#define NCD_NN_INLINE static inline
#define NCD_NN_NOINLINE
#define NCD_NN_COPY memcpy
#define NCD_NN_FILL memset
#endif

/* What of the scratch is still free. */
typedef struct ncd_nn_memory {
    uint8_t *p;
    size_t left;
} ncd_nn_memory;

static inline ncd_nn_memory ncd_nn_memory_of(const ncd_nn *nn)
{
    ncd_nn_memory m;
    m.p = (uint8_t *)nn->scratch;
    m.left = ((uintptr_t)nn->scratch & 3u) == 0 && nn->scratch ? nn->scratch_size : 0;
    return m;
}

/* Takes `size` bytes, aligned to 4; null where they are not there. */
static inline void *ncd_nn_take(ncd_nn_memory *m, size_t size)
{
    void *const taken = m->p;
    size = (size + 3u) & ~(size_t)3u;
    if (size > m->left || !taken)
        return NULL;
    m->p += size;
    m->left -= size;
    return taken;
}

/* Sums wrap around like those of the machine; in C only unsigned ones may. */
static inline int32_t ncd_nn_wrap_add(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

static inline int32_t ncd_nn_wrap_mul(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a * (uint32_t)b);
}

#if NCD_ENABLE_FLOAT
static inline float ncd_nn_clamp_f32(float x, float min, float max)
{
    return x < min ? min : x > max ? max : x;
}
#endif

/* Words of the stream's order in any memory. */
static inline uint32_t ncd_nn_load_u32(const void *p)
{
    const uint8_t *const b = (const uint8_t *)p;
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

#endif
