/* Products of matrices, and what goes row by row. Matrices lie row by row; the right one of a product as panels of
   columns, two vectors wide: [columns / PANEL, depth, PANEL]. */

#include <math.h>
#include <stddef.h>

#include "vectors.h"

/* out [rows, PANEL] = a [rows, depth] b [depth, PANEL] + bias [PANEL] + added [rows, PANEL]. Where ahead is not 0, the
   numbers that lie so far behind those of b are fetched into the cache. */
INLINE void tile(const int rows, const size_t ahead, size_t depth, const float *a, size_t a_step, const float *b,
                 size_t b_step, const float *bias, const float *added, float *out, size_t step) {
    vec left[ROWS], right[ROWS];
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) left[r] = right[r] = every(0);
    for (size_t k = 0; k < depth; k++, b += b_step) {
        vec b_left = load(b), b_right = load(b + LANES);
        if (ahead) {
            __builtin_prefetch(b + ahead);
            __builtin_prefetch(b + ahead + LANES);
        }
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            left[r] += a[r * a_step + k] * b_left;
            right[r] += a[r * a_step + k] * b_right;
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
        if (bias) {
            left[r] += load(bias);
            right[r] += load(bias + LANES);
        }
        if (added) {
            left[r] += load(added + r * step);
            right[r] += load(added + r * step + LANES);
        }
        store(out + r * step, left[r]);
        store(out + r * step + LANES, right[r]);
    }
}

/* out [rows, columns] = a [rows, depth] b + bias [columns] + added [rows, columns]. The panels of b lie b_panel apart,
   their rows b_step; the rows of out, and of what is added, out_step. */
static void product(size_t rows, size_t depth, size_t columns, const float *a, size_t a_step, const float *b,
                    size_t b_panel, size_t b_step, const float *bias, const float *added, float *out, size_t out_step) {
    size_t tiles = (rows + ROWS - 1) / ROWS; /* of about the same number of rows */
    for (size_t column = 0; column < columns; column += PANEL, b += b_panel)
        for (size_t t = 0; t < tiles; t++) {
            size_t begin = rows * t / tiles, end = rows * (t + 1) / tiles, at = begin * out_step + column;
            const float *offset = bias ? bias + column : NULL, *more = added ? added + at : NULL;
            /* The next panel is fetched while the first of several tiles is made of this one. */
            size_t ahead = t == 0 && tiles > 1 ? b_panel : 0;
#define TILE(ROWS, AHEAD) \
    tile(ROWS, AHEAD, depth, a + begin * a_step, a_step, b, b_step, offset, more, out + at, out_step)
#define CASE(ROWS) \
    case ROWS: \
        if (ahead) TILE(ROWS, ahead); \
        else TILE(ROWS, 0); \
        break;
            switch (end - begin) {
                CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if ROWS == 12
                CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#endif
            }
#undef CASE
#undef TILE
        }
}

static void dense(size_t rows, size_t depth, size_t columns, const float *a, const float *kernel, const float *bias,
                  const float *added, float *out) {
    product(rows, depth, columns, a, depth, kernel, depth * PANEL, PANEL, bias, added, out, columns);
}

/* Layer normalisation of each row of x, in place, without the offset, which is inside what reads the rows. */
static void normalise(size_t rows, size_t width, float epsilon, const float *scale, float *x) {
    for (size_t r = 0; r < rows; r++, x += width) {
        vec total = every(0), squares = every(0);
        for (size_t i = 0; i < width; i += LANES) total += load(x + i);
        float mean = sum_of(total) / width;
        for (size_t i = 0; i < width; i += LANES) {
            vec apart = load(x + i) - mean;
            squares += apart * apart;
        }
        float factor = 1 / sqrtf(sum_of(squares) / width + epsilon);
        for (size_t i = 0; i < width; i += LANES) store(x + i, (load(x + i) - mean) * factor * load(scale + i));
    }
}

enum activation { GELU, GELU_TANH, RELU, SILU, TANH };

static void activate(enum activation kind, size_t count, float *x) {
    for (size_t i = 0; i < count; i += LANES) {
        vec v = load(x + i);
        switch (kind) {
            case GELU: v = gelu(v); break;
            case GELU_TANH: v *= logistic(1.5957691f * (v + 0.044715f * (v * v * v))); break;
            case RELU: v = larger(every(0), v); break;
            case SILU: v *= logistic(v); break;
            case TANH: v = 2 * logistic(2 * v) - 1; break;
        }
        store(x + i, v);
    }
}

/* Each row of scores becomes e^(score - the largest), its sum goes into sums. Rows are whole panels. */
static void exponentials(size_t rows, size_t step, float *scores, float *sums) {
    for (size_t r = 0; r < rows; r++, scores += step) {
        vec most = load(scores), total = every(0);
        for (size_t i = LANES; i < step; i += LANES) most = larger(most, load(scores + i));
        float largest = largest_of(most);
        for (size_t i = 0; i < step; i += LANES) {
            vec e = exponential(load(scores + i) - largest);
            total += e;
            store(scores + i, e);
        }
        sums[r] = sum_of(total);
    }
}
