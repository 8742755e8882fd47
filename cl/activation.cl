/* SPDX-License-Identifier: GPL-3.0-or-later
 * What may follow a product: the numbers of enum mr_activation (src/ops/products.h). */
#define NO_ACTIVATION 0
#define SIGMOID 1
#define SILU 2
#define TANH 3
#define SQUARED_RELU 4
#define GELU_ERF 5
#define GELU_TANH 6
#define RELU 7
#define GELU_QUICK 8

#define ROOT_HALF 0.70710678118654752f
#define TWICE_ROOT_2_OVER_PI 1.5957691216057308f /* 2 √(2/π) */
#define CUBIC 0.044715f
#define QUICK 1.702f

/* tanh(x) = (1 - e^-2|x|) / (1 + e^-2|x|) with the sign of x; near 0, where this would cancel, its series */
static inline floatv tanh_of(floatv x)
{
    floatv e = exp_of(-2.0f * fabs(x)), s = x * x;
    floatv far = copysign((1.0f - e) / (1.0f + e), x);
    floatv near = x + x * s * (-0.333333333f + s * (0.133333333f + s * (-0.0539682540f + s * 0.0218694885f)));
    return select(far, near, s < 0.0625f);
}

/* Φ(x) of GELU, in the tanh form as a sigmoid: (1 + tanh z) / 2 = σ(2z) */
static inline floatv gelu_share(floatv x, int tanh_form)
{
    return tanh_form ? sigmoid_of(TWICE_ROOT_2_OVER_PI * (x + CUBIC * x * x * x)) : 0.5f + 0.5f * erf(x * ROOT_HALF);
}

static inline floatv activate(floatv x, int activation)
{
    switch (activation) {
    case SIGMOID:
        return sigmoid_of(x);
    case SILU:
        return x * sigmoid_of(x);
    case TANH:
        return tanh_of(x);
    case SQUARED_RELU:
        x = fmax(x, 0.0f);
        return x * x;
    case GELU_ERF:
    case GELU_TANH:
        return x * gelu_share(x, activation == GELU_TANH);
    case RELU: /* in this form what is no number stays so */
        return x < 0.0f ? (floatv)0.0f : x;
    case GELU_QUICK:
        return x * sigmoid_of(QUICK * x);
    default:
        return x;
    }
}
