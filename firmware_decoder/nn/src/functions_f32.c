/* Functions of single floats. */
#include "common.h"

#if NCD_ENABLE_FLOAT

#include <math.h>

#define SQRT_HALF 0.70710678118654752f     /* of 1/2 */
#define SQRT_2_OF_PI 0.79788456080286536f  /* of 2 / pi */

ncd_status ncd_nn_run_function_f32(uint32_t size, ncd_nn_function_f32 *function, const float *numbers, const float *in,
                                   float *out)
{
    uint32_t i;
    for (i = 0; i < size; ++i)
        out[i] = function(in[i], numbers);
    return NCD_OK;
}

/* Where e^-x is beyond what floats hold, 1 / (1 + it) is 0, as it should be. */
static float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

static float softplus(float x)
{
    return x > 0.0f ? x + log1pf(expf(-x)) : log1pf(expf(x));
}

float ncd_nn_abs_f32(float x, const float *numbers)
{
    (void)numbers;
    return fabsf(x);
}

float ncd_nn_affine_f32(float x, const float *numbers)
{
    return x * numbers[0] + numbers[1];
}

float ncd_nn_elu_f32(float x, const float *numbers)
{
    return x > 0.0f ? x * numbers[1] : expm1f(x * numbers[2]) * numbers[0];
}

float ncd_nn_gelu_f32(float x, const float *numbers)
{
    (void)numbers;
    return 0.5f * x * (1.0f + erff(x * SQRT_HALF));
}

float ncd_nn_gelu_tanh_f32(float x, const float *numbers)
{
    (void)numbers;
    return 0.5f * x * (1.0f + tanhf(SQRT_2_OF_PI * (x + 0.044715f * x * x * x)));
}

float ncd_nn_hard_sigmoid_f32(float x, const float *numbers)
{
    (void)numbers;
    return ncd_nn_clamp_f32(x + 3.0f, 0.0f, 6.0f) / 6.0f;
}

float ncd_nn_hard_swish_f32(float x, const float *numbers)
{
    (void)numbers;
    return x * ncd_nn_clamp_f32(x + 3.0f, 0.0f, 6.0f) / 6.0f;
}

float ncd_nn_leaky_relu_f32(float x, const float *numbers)
{
    return x < 0.0f ? x * numbers[0] : x;
}

float ncd_nn_log_sigmoid_f32(float x, const float *numbers)
{
    (void)numbers;
    return -softplus(-x);
}

float ncd_nn_mish_f32(float x, const float *numbers)
{
    (void)numbers;
    return x * tanhf(softplus(x));
}

float ncd_nn_sigmoid_f32(float x, const float *numbers)
{
    (void)numbers;
    return sigmoid(x);
}

float ncd_nn_silu_f32(float x, const float *numbers)
{
    (void)numbers;
    return x * sigmoid(x);
}

float ncd_nn_softplus_f32(float x, const float *numbers)
{
    const float y = x * numbers[0];
    return y > numbers[1] ? x : softplus(y) / numbers[0];
}

float ncd_nn_tanh_f32(float x, const float *numbers)
{
    (void)numbers;
    return tanhf(x);
}

#endif
