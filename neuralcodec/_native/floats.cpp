#include "floats.hpp"

#include <cstring>

#include "common.hpp"

namespace neuralcodec {

NC_CLONES void to_bf16(const float *in, size_t n, uint16_t *out) {
    for (size_t i = 0; i < n; ++i) {
        uint32_t u;
        std::memcpy(&u, in + i, 4);
        out[i] = static_cast<uint16_t>((u + 0x7FFFu + (u >> 16 & 1)) >> 16);
    }
}

NC_CLONES void to_f16(const float *in, size_t n, uint16_t *out) {
    for (size_t i = 0; i < n; ++i) {
        uint32_t u;
        std::memcpy(&u, in + i, 4);
        const uint32_t sign = u >> 16 & 0x8000u;
        const uint32_t m = u & 0x7FFFFFFFu;
        // Normal: move the exponent's bias from 127 to 15 and round at bit 13. From 65520 on that gives infinity or
        // more, which the minimum makes infinity.
        const uint32_t wide = (m - (112u << 23) + 0xFFFu + (m >> 13 & 1)) >> 13;
        const uint32_t normal = m >= 0x477FF000u ? 0x7C00u : wide;
        // Subnormal: the sum with 0.5 has 2^-24 as its unit, so the addition rounds.
        float f, half = 0.5f;
        std::memcpy(&f, &m, 4);
        f += half;
        uint32_t s;
        std::memcpy(&s, &f, 4);
        const uint32_t subnormal = s - 0x3F000000u;
        out[i] = static_cast<uint16_t>(sign | (m < 0x38800000u ? subnormal : normal));
    }
}

NC_CLONES void to_f64(const float *in, size_t n, double *out) {
    for (size_t i = 0; i < n; ++i) out[i] = static_cast<double>(in[i]);
}

}  // namespace neuralcodec
