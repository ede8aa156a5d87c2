/* Vectors as wide as the processor's, in the vector extension of GCC and Clang, and the functions of them that BERT
   needs. */

#ifndef DPR_SIMD_H
#define DPR_SIMD_H

#include <stddef.h>
#include <stdint.h>

/* LANES: floats in a vector. TILE_ROWS: rows of a gemm tile, two vectors wide, that the registers hold. */
#if defined __AVX512F__
#define BUILD "avx512"
#define LANES 16
#define TILE_ROWS 12
#elif defined __AVX2__
#define BUILD "avx2"
#define LANES 8
#define TILE_ROWS 6
#elif defined __aarch64__
#define BUILD "neon"
#define LANES 4
#define TILE_ROWS 12
#else
#define BUILD "baseline"
#define LANES 4
#define TILE_ROWS 6
#endif

#define CACHE_LINE 16 /* floats in a cache line */

#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef float unaligned_vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t int_vec __attribute__((vector_size(4 * LANES)));

INLINE vec load(const float *from) { return *(const unaligned_vec *)from; }
INLINE void store(float *to, vec v) { *(unaligned_vec *)to = v; }
INLINE vec splat(float x) { return (vec){0} + x; }

/* If either operand is NaN, both return b: pass the value that must propagate NaN second. */
INLINE vec vmax(vec a, vec b) {
    int_vec take_a = a > b;
    return (vec)(((int_vec)a & take_a) | ((int_vec)b & ~take_a));
}

INLINE vec vmin(vec a, vec b) {
    int_vec take_a = a < b;
    return (vec)(((int_vec)a & take_a) | ((int_vec)b & ~take_a));
}

/* The largest lane. */
INLINE float hmax(vec v) {
    float lanes[LANES];
    store(lanes, v);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
    return lanes[0];
}

/* The sum of the lanes, added in pairs. */
INLINE float hsum(vec v) {
    float lanes[LANES];
    store(lanes, v);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

/* e^x with a relative error of 1e-7; x is clamped to [-87, 88]. With n = round(x / ln 2), e^x is 2^n times a polynomial
   in x - n ln 2: the coefficients are those of Cephes' expf. */
INLINE vec vexp(vec x) {
    const float round_to_integer = 12582912; /* 1.5 * 2^23: no float near it has a fraction */
    x = vmin(splat(88), vmax(splat(-87), x));
    vec n = (x * 1.44269504f + round_to_integer) - round_to_integer;
    x = x - n * 0.693359375f + n * 2.12194440e-4f; /* ln 2 in two parts, for more digits than one float has */
    vec p = splat(1.9875691500e-4f);
    p = p * x + 1.3981999507e-3f;
    p = p * x + 8.3334519073e-3f;
    p = p * x + 4.1665795894e-2f;
    p = p * x + 1.6666665459e-1f;
    p = p * x + 5.0000001201e-1f;
    p = p * (x * x) + x + 1;
    int_vec power_of_2 = (__builtin_convertvector(n, int_vec) + 127) << 23;
    return p * (vec)power_of_2;
}

INLINE vec logistic(vec x) { return 1 / (vexp(-x) + 1); }

/* GELU in its erf form: x times the normal distribution function of x, with an error of 3e-7 max(1, |x|). Within
   [-5.2, 5.2] the function is 1/2 + x p(x^2) / q(x^2), a minimax quotient of polynomials; beyond, it is 0 or 1. */
INLINE vec gelu(vec x) {
    vec clamped = vmin(splat(5.2f), vmax(splat(-5.2f), x));
    vec square = clamped * clamped;
    vec p = splat(6.11378525e-06f);
    p = p * square + 3.29198035e-04f;
    p = p * square + 5.60822145e-03f;
    p = p * square + 5.08829717e-02f;
    p = p * square + 3.98941451e-01f;
    vec q = splat(5.22502148e-07f);
    q = q * square + 1.18481467e-04f;
    q = q * square + 2.78557508e-03f;
    q = q * square + 3.81067781e-02f;
    q = q * square + 2.94201569e-01f;
    q = q * square + 1;
    return x * (clamped * p / q) + x * 0.5f;
}

INLINE vec gelu_tanh(vec x) { return x * logistic(1.5957691f * (x + 0.044715f * (x * x * x))); }

INLINE vec silu(vec x) { return x * logistic(x); }

INLINE vec relu(vec x) { return vmax(splat(0), x); }

INLINE vec vtanh(vec x) { return 2 * logistic(2 * x) - 1; }

#endif
