/* Matrix products, and the operations that go row by row. Matrices are row-major.

   The right-hand matrix of a gemm is packed into panels of PANEL columns, which the kernel reads from front to back:
   b [depth, cols] becomes [cols / PANEL, depth, PANEL], with cols rounded up and zeros in what that adds. */

#ifndef DPR_GEMM_H
#define DPR_GEMM_H

#include <math.h>
#include <stddef.h>

#include "simd.h"

#define PANEL (2 * LANES)

/* Read a reference first. The tests compare the fast kernel with it; the library does not contain it. */
#define REFERENCE static __attribute__((unused))

/* out [rows, cols] = a [rows, depth] b [depth, cols] + bias [cols] + residual [rows, cols]; bias and residual may be
   NULL. Of a packed b, panels are b_panel_stride apart and their rows b_stride; residual has the stride of out. */
REFERENCE void gemm_reference(size_t rows, size_t depth, size_t cols, const float *a, size_t a_stride, const float *b,
                              size_t b_panel_stride, size_t b_stride, const float *bias, const float *residual,
                              float *out, size_t out_stride) {
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < cols; c++) {
            const float *b_column = b + c / PANEL * b_panel_stride + c % PANEL;
            float sum = 0;
            for (size_t k = 0; k < depth; k++) sum += a[r * a_stride + k] * b_column[k * b_stride];
            if (bias) sum += bias[c];
            if (residual) sum += residual[r * out_stride + c];
            out[r * out_stride + c] = sum;
        }
    }
}

/* A tile of the gemm: at most TILE_ROWS rows and one panel. rows and prefetch must be constants where this is inlined:
   then the sums stay in registers. If prefetch is not 0, b + prefetch (the next panel) is fetched into the cache. */
INLINE void gemm_microkernel(const size_t rows, const size_t prefetch, size_t depth, const float *a, size_t a_stride,
                             const float *b, size_t b_stride, const float *bias, const float *residual, float *out,
                             size_t out_stride) {
    vec left[TILE_ROWS], right[TILE_ROWS]; /* the panel's two vectors in each row */
#pragma GCC unroll 12
    for (size_t r = 0; r < rows; r++) left[r] = right[r] = splat(0);
    for (size_t k = 0; k < depth; k++, b += b_stride) {
        vec b_left = load(b), b_right = load(b + LANES);
        if (prefetch) {
            __builtin_prefetch(b + prefetch);
            __builtin_prefetch(b + prefetch + LANES);
        }
#pragma GCC unroll 12
        for (size_t r = 0; r < rows; r++) {
            left[r] += a[r * a_stride + k] * b_left;
            right[r] += a[r * a_stride + k] * b_right;
        }
    }
#pragma GCC unroll 12
    for (size_t r = 0; r < rows; r++) {
        if (bias) {
            left[r] += load(bias);
            right[r] += load(bias + LANES);
        }
        if (residual) {
            left[r] += load(residual + r * out_stride);
            right[r] += load(residual + r * out_stride + LANES);
        }
        store(out + r * out_stride, left[r]);
        store(out + r * out_stride + LANES, right[r]);
    }
}

/* As gemm_reference; cols must be a multiple of PANEL. */
static void gemm(size_t rows, size_t depth, size_t cols, const float *a, size_t a_stride, const float *b,
                 size_t b_panel_stride, size_t b_stride, const float *bias, const float *residual, float *out,
                 size_t out_stride) {
    size_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS; /* of almost equal height */
    for (size_t col = 0; col < cols; col += PANEL) {
        const float *panel = b + col / PANEL * b_panel_stride;
        for (size_t tile = 0; tile < tiles; tile++) {
            size_t first = rows * tile / tiles, last = rows * (tile + 1) / tiles;
            const float *tile_a = a + first * a_stride;
            const float *tile_bias = bias ? bias + col : NULL;
            const float *tile_residual = residual ? residual + first * out_stride + col : NULL;
            float *tile_out = out + first * out_stride + col;
            /* The next panel is prefetched while the first of several tiles uses this one. */
            size_t prefetch = tile == 0 && tiles > 1 ? b_panel_stride : 0;
            switch (last - first) {
#define TILE_CASE(count) \
    case count: \
        if (prefetch) \
            gemm_microkernel(count, prefetch, depth, tile_a, a_stride, panel, b_stride, tile_bias, tile_residual, \
                             tile_out, out_stride); \
        else \
            gemm_microkernel(count, 0, depth, tile_a, a_stride, panel, b_stride, tile_bias, tile_residual, tile_out, \
                             out_stride); \
        break;
                TILE_CASE(1)
                TILE_CASE(2)
                TILE_CASE(3)
                TILE_CASE(4)
                TILE_CASE(5)
                TILE_CASE(6)
#if TILE_ROWS == 12
                TILE_CASE(7)
                TILE_CASE(8)
                TILE_CASE(9)
                TILE_CASE(10)
                TILE_CASE(11)
                TILE_CASE(12)
#endif
#undef TILE_CASE
                default: __builtin_unreachable(); /* no tile is higher than TILE_ROWS */
            }
        }
    }
}

/* out [rows, cols] = x [rows, depth] weight [depth, cols], packed, + bias + residual. */
static void linear(size_t rows, size_t depth, size_t cols, const float *x, const float *weight, const float *bias,
                   const float *residual, float *out) {
    gemm(rows, depth, cols, x, depth, weight, depth * PANEL, PANEL, bias, residual, out, cols);
}

/* Layer normalization of each row of x [rows, cols], in place, without the offset: it is folded into the bias of the
   next linear layer. */
static void layer_norm(size_t rows, size_t cols, float epsilon, const float *scale, float *x) {
    for (size_t r = 0; r < rows; r++) {
        float *row = x + r * cols;
        vec sum = splat(0);
        for (size_t c = 0; c < cols; c += LANES) sum += load(row + c);
        float mean = hsum(sum) / (float)cols;
        vec squares = splat(0);
        for (size_t c = 0; c < cols; c += LANES) {
            vec centered = load(row + c) - mean;
            squares += centered * centered;
        }
        float reciprocal_deviation = 1 / sqrtf(hsum(squares) / (float)cols + epsilon);
        for (size_t c = 0; c < cols; c += LANES)
            store(row + c, (load(row + c) - mean) * reciprocal_deviation * load(scale + c));
    }
}

enum activation { GELU, GELU_TANH, RELU, SILU, TANH };

/* The activation function of each element of x [size], in place. */
static void activate(enum activation activation, size_t size, float *x) {
    for (size_t i = 0; i < size; i += LANES) {
        vec v = load(x + i);
        switch (activation) {
            case GELU: v = gelu(v); break;
            case GELU_TANH: v = gelu_tanh(v); break;
            case RELU: v = relu(v); break;
            case SILU: v = silu(v); break;
            case TANH: v = vtanh(v); break;
        }
        store(x + i, v);
    }
}

/* Each row of scores [rows, cols], cols a multiple of PANEL, becomes the numerators of its softmax,
   e^(score - largest score); sums [rows] are the denominators. */
static void softmax_numerators(size_t rows, size_t cols, float *scores, float *sums) {
    for (size_t r = 0; r < rows; r++) {
        float *row = scores + r * cols;
        vec largest = load(row);
        for (size_t c = LANES; c < cols; c += LANES) largest = vmax(largest, load(row + c));
        float row_max = hmax(largest);
        vec sum = splat(0);
        for (size_t c = 0; c < cols; c += LANES) {
            vec numerator = vexp(load(row + c) - row_max);
            sum += numerator;
            store(row + c, numerator);
        }
        sums[r] = hsum(sum);
    }
}

#endif
