// Floats of other widths than 32 bits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace neuralcodec {

// Rounding f32 to narrower floats, to nearest, ties to even. Levels times scales are never NaN, so NaN may become any.
void to_bf16(const float *in, size_t n, uint16_t *out);
void to_f16(const float *in, size_t n, uint16_t *out);

void to_f64(const float *in, size_t n, double *out);

}  // namespace neuralcodec
