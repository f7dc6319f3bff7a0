/* Instructions of the DSP extension. */
#ifndef NCD_NN_DSP_H
#define NCD_NN_DSP_H

#include "common.h"

#if !defined(__ARM_FEATURE_DSP)
#error "NCD_NN_KERNELS is 1, but the target has no DSP extension"
#endif

#if defined(__GNUC__)

NCD_NN_INLINE uint32_t ncd_nn_extend(uint32_t x) /* values 0 and 2 */
{
    uint32_t r;
    __asm__ volatile("sxtb16 %0, %1" : "=r"(r) : "r"(x));
    return r;
}

NCD_NN_INLINE uint32_t ncd_nn_extend_odd(uint32_t x) /* values 1 and 3 */
{
    uint32_t r;
    __asm__ volatile("sxtb16 %0, %1, ror #8" : "=r"(r) : "r"(x));
    return r;
}

NCD_NN_INLINE int32_t ncd_nn_smlad(uint32_t a, uint32_t b, int32_t sum)
{
    __asm__ volatile("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

NCD_NN_INLINE int32_t ncd_nn_smla_low(uint32_t a, uint32_t b, int32_t sum)
{
    __asm__("smlabb %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

NCD_NN_INLINE int32_t ncd_nn_smla_high(uint32_t a, uint32_t b, int32_t sum)
{
    __asm__("smlatt %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

NCD_NN_INLINE uint32_t ncd_nn_pack(int32_t low, int32_t high)
{
    uint32_t r;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(r) : "r"(low), "r"(high));
    return r;
}

#else /* Arm's C language extensions */

#include <arm_acle.h>

#define ncd_nn_extend(x) ((uint32_t)__sxtb16(x))
#define ncd_nn_extend_odd(x) ((uint32_t)__sxtb16(__ror(x, 8)))
#define ncd_nn_smlad(a, b, sum) __smlad((int16x2_t)(a), (int16x2_t)(b), sum)
#define ncd_nn_smla_low(a, b, sum) __smlabb((int32_t)(a), (int32_t)(b), sum)
#define ncd_nn_smla_high(a, b, sum) __smlatt((int32_t)(a), (int32_t)(b), sum)

#define ncd_nn_pack(low, high) (((uint32_t)(low) & 0xFFFFu) | (uint32_t)(high) << 16)

#endif

#endif
