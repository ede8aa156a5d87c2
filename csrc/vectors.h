/* Vectors of as many floats as the processor works on at once, and the functions of them that BERT needs, in the plain
   vector extension of GCC and Clang. */

#include <stdint.h>

/* ROWS: how many rows of a product, two vectors wide, the registers hold. */
#if defined __AVX512F__
#define LANES 16
#define ROWS 12
#elif defined __AVX2__
#define LANES 8
#define ROWS 6
#elif defined __aarch64__
#define LANES 4
#define ROWS 12
#else
#define LANES 4
#define ROWS 6
#endif
#define PANEL (2 * LANES)
#define LINE 16 /* floats in a line of the processor's cache */

#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef float anywhere __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));

INLINE vec load(const float *from) { return *(const anywhere *)from; }
INLINE void store(float *to, vec what) { *(anywhere *)to = what; }
INLINE vec every(float number) { return (vec){0} + number; }

/* Of a number and one that is none, these two give the second. */
INLINE vec larger(vec a, vec b) {
    ints first = a > b;
    return (vec)(((ints)a & first) | ((ints)b & ~first));
}

INLINE vec smaller(vec a, vec b) {
    ints first = a < b;
    return (vec)(((ints)a & first) | ((ints)b & ~first));
}

INLINE float largest_of(vec v) {
    float lanes[LANES];
    store(lanes, v);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
    return lanes[0];
}

INLINE float sum_of(vec v) {
    float lanes[LANES];
    store(lanes, v);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

/* e^x of x held within -87 and 88, to 1e-7 of it: a power of 2 times a polynomial of what is left. */
INLINE vec exponential(vec x) {
    const float rounding = 12582912; /* added and taken away again, it leaves a whole number */
    x = smaller(every(88), larger(every(-87), x));
    vec n = (x * 1.44269504f + rounding) - rounding;
    x = x - n * 0.693359375f + n * 2.12194440e-4f; /* ln 2 in two parts */
    vec p = every(1.9875691500e-4f);
    p = p * x + 1.3981999507e-3f;
    p = p * x + 8.3334519073e-3f;
    p = p * x + 4.1665795894e-2f;
    p = p * x + 1.6666665459e-1f;
    p = p * x + 5.0000001201e-1f;
    p = p * (x * x) + x + 1;
    ints power = (__builtin_convertvector(n, ints) + 127) << 23;
    return p * (vec)power;
}

INLINE vec logistic(vec x) { return 1 / (exponential(-x) + 1); }

/* x times the normal distribution function of x, to 3e-7 of the larger of 1 and |x|. The function is 1/2 plus x times a
   quotient of polynomials in x^2, those of the least largest error within 5.2; beyond, it is 0 or 1. */
INLINE vec gelu(vec x) {
    vec within = smaller(every(5.2f), larger(every(-5.2f), x)), square = within * within;
    vec p = every(6.11378525e-06f), q = every(5.22502148e-07f);
    p = p * square + 3.29198035e-04f;
    q = q * square + 1.18481467e-04f;
    p = p * square + 5.60822145e-03f;
    q = q * square + 2.78557508e-03f;
    p = p * square + 5.08829717e-02f;
    q = q * square + 3.81067781e-02f;
    p = p * square + 3.98941451e-01f;
    q = q * square + 2.94201569e-01f;
    q = q * square + 1;
    return x * (within * p / q) + x * 0.5f;
}
