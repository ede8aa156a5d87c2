/* BERT in vectors of the processor's own width, without padding; compiled.py gives it its weights and texts.

   Compiled once for each set of instructions. Texts are worked on in groups: as few tokens as stay in a core's cache,
   as many as make use of weights that do not. Shapes: t tokens of a group, n of one of its texts, w width, h heads,
   d = w / h. The kernels of dense layers, and the keys of a text, lie as panels: see matrices.h. */

#include <stdlib.h>
#include <string.h>

#include "matrices.h"

#define GROUP 256 /* tokens, or those of one text if it has more */

/* A transformer layer: kernels in panels, biases, and the scales of its two normalisations. */
struct layer {
    const float *fused, *fused_bias, *joined, *joined_bias, *joined_scale;
    const float *widened, *widened_bias, *narrowed, *narrowed_bias, *narrowed_scale;
};

struct bert {
    int64_t layers, width, heads, inner, dim, vocabulary, longest, activation, mean, normalize;
    double epsilon;
    const float *words, *places, *second, *scale, *last_offset;
    const struct layer *layer;
    /* what attention of the first token alone needs of the last layer, heads one after the other; NULL: all are read */
    const float *first_query, *first_query_bias, *first_key, *first_value, *first_value_bias;
    const float *pooler, *pooler_bias, *projection, *projection_bias; /* NULL where the model has none */
};

/* Texts whose ids lie end to end. */
struct texts {
    size_t count;
    const int32_t *ids, *lengths, *text_starts;
};

/* Where the numbers of a group are while it is worked on. */
struct space {
    float *hidden, *fused, *context, *widened; /* [t, w], [t, 3w], [t, w], [t, inner] */
    float *keys, *scores, *mask, *sums;        /* of a text: [padded, d], [max(n, h), padded], [padded], [max(n, h)] */
    float *row, *rows, *last;                  /* of its first token: [w], [h, w], [dim] */
};

INLINE size_t whole(size_t count, size_t of) { return (count + of - 1) / of * of; }

/* Multi-head attention of every token of a text to every token, of fused [n, 3w] to context [n, w]. */
static void attend(const struct bert *bert, size_t n, const float *fused, struct space *space, float *context) {
    size_t width = bert->width, size = width / bert->heads, padded = whole(n, PANEL);
    for (size_t i = 0; i < padded; i++) space->mask[i] = i < n ? 0 : -1e30f;
    for (size_t head = 0; head < (size_t)bert->heads; head++) {
        const float *query = fused + head * size, *key = query + width, *value = key + width;
        float *keys = space->keys, *scores = space->scores, *out = context + head * size;
        for (size_t i = 0; i < padded; i++)
            for (size_t k = 0; k < size; k++)
                keys[(i / PANEL * size + k) * PANEL + i % PANEL] = i < n ? key[i * 3 * width + k] : 0;
        product(n, size, padded, query, 3 * width, keys, size * PANEL, PANEL, space->mask, NULL, scores, padded);
        exponentials(n, padded, scores, space->sums);
        product(n, n, size, scores, padded, value, PANEL, 3 * width, NULL, NULL, out, width);
        for (size_t i = 0; i < n; i++, out += width) {
            float share = 1 / space->sums[i];
            for (size_t k = 0; k < size; k += LANES) store(out + k, load(out + k) * share);
        }
    }
}

/* Attention of a text's first token to every token, of hidden [n, w] to context [1, w]: with the key and value products
   taken once instead of once a token, as q (x K) = (q K') x and p (x V) = (p x) V. */
static void attend_first(const struct bert *bert, size_t n, const float *hidden, struct space *space, float *context) {
    size_t width = bert->width, heads = bert->heads, size = width / heads, padded = whole(n, PANEL);
    float *query = space->row, *asked = space->rows, *read = asked; /* [w], [h, w], [h, w] */
    dense(1, width, width, hidden, bert->first_query, bert->first_query_bias, NULL, query);
    for (size_t head = 0; head < heads; head++) {
        float *of_head = asked + head * width, *scores = space->scores + head * padded;
        dense(1, size, width, query + head * size, bert->first_key + head * size * width, NULL, NULL, of_head);
        for (size_t i = 0; i < n; i++) {
            vec total = every(0);
            for (size_t k = 0; k < width; k += LANES) total += load(of_head + k) * load(hidden + i * width + k);
            scores[i] = sum_of(total);
        }
        for (size_t i = n; i < padded; i++) scores[i] = -1e30f;
    }
    exponentials(heads, padded, space->scores, space->sums);
    product(heads, n, width, space->scores, padded, hidden, PANEL, width, NULL, NULL, read, width);
    for (size_t head = 0; head < heads; head++) {
        for (size_t k = 0; k < width; k++) read[head * width + k] /= space->sums[head];
        dense(1, width, size, read + head * width, bert->first_value + head * width * size,
              bert->first_value_bias + head * size, NULL, context + head * size);
    }
}

/* What a transformer layer makes of hidden rows and of what they attended to, in place of them. */
static void feed_forward(const struct bert *bert, const struct layer *layer, size_t rows, struct space *space) {
    size_t width = bert->width, inner = bert->inner;
    float *hidden = space->hidden, *attended = space->fused, *widened = space->widened;
    dense(rows, width, width, space->context, layer->joined, layer->joined_bias, hidden, attended);
    normalise(rows, width, bert->epsilon, layer->joined_scale, attended);
    dense(rows, width, inner, attended, layer->widened, layer->widened_bias, NULL, widened);
    activate(bert->activation, rows * inner, widened);
    dense(rows, inner, width, widened, layer->narrowed, layer->narrowed_bias, attended, hidden);
    normalise(rows, width, bert->epsilon, layer->narrowed_scale, hidden);
}

/* The vector [dim] of one text, of its hidden rows [count, w]. */
static void pool(const struct bert *bert, size_t count, const float *hidden, struct space *space, float *vector) {
    size_t width = bert->width, dim = bert->dim;
    float *row = space->row;
    for (size_t k = 0; k < width; k += LANES) {
        vec total = every(0);
        for (size_t i = 0; i < count; i++) total += load(hidden + i * width + k);
        store(row + k, total / (float)count + load(bert->last_offset + k));
    }
    if (bert->pooler) {
        dense(1, width, width, row, bert->pooler, bert->pooler_bias, NULL, space->rows);
        for (size_t k = 0; k < width; k++) row[k] = tanhf(space->rows[k]);
    }
    if (bert->projection) {
        dense(1, width, whole(dim, PANEL), row, bert->projection, bert->projection_bias, NULL, space->last);
        row = space->last;
    }
    float length = 1;
    if (bert->normalize) {
        float squares = 0;
        for (size_t k = 0; k < dim; k++) squares += row[k] * row[k];
        length = sqrtf(squares);
        if (length < 1e-12f) length = 1e-12f;
    }
    for (size_t k = 0; k < dim; k++) vector[k] = row[k] / length;
}

/* The vectors [texts, dim] of a group. */
static void encode_group(const struct bert *bert, const struct texts *texts, struct space *space, float *vectors) {
    size_t width = bert->width, total = 0, rows = 0;
    float *hidden = space->hidden;
    for (size_t text = 0; text < texts->count; text++) total += texts->lengths[text];
    for (size_t i = 0; i < total; i++) /* from all over memory, and so ahead of their use */
        for (size_t k = 0; k < width; k += LINE) __builtin_prefetch(bert->words + texts->ids[i] * width + k);
    for (size_t text = 0; text < texts->count; text++)
        for (int32_t i = 0; i < texts->lengths[text]; i++, rows++)
            for (size_t k = 0; k < width; k += LANES) {
                vec sum = load(bert->words + texts->ids[rows] * width + k) + load(bert->places + i * width + k);
                if (i >= texts->text_starts[text]) sum += load(bert->second + k);
                store(hidden + rows * width + k, sum);
            }
    normalise(rows, width, bert->epsilon, bert->scale, hidden);
    for (int64_t l = 0; l < bert->layers; l++) {
        const struct layer *layer = bert->layer + l;
        int first_alone = l == bert->layers - 1 && bert->first_query;
        if (!first_alone) dense(rows, width, 3 * width, hidden, layer->fused, layer->fused_bias, NULL, space->fused);
        for (size_t text = 0, at = 0; text < texts->count; at += texts->lengths[text++]) {
            size_t n = texts->lengths[text];
            if (first_alone) {
                attend_first(bert, n, hidden + at * width, space, space->context + text * width);
                memmove(hidden + text * width, hidden + at * width, width * sizeof(float));
            } else {
                attend(bert, n, space->fused + at * 3 * width, space, space->context + at * width);
            }
        }
        if (first_alone) rows = texts->count;
        feed_forward(bert, layer, rows, space);
    }
    for (size_t text = 0, at = 0; text < texts->count; text++, vectors += bert->dim) {
        pool(bert, bert->mean ? texts->lengths[text] : 1, hidden + at * width, space, vectors);
        at += bert->first_query ? 1 : texts->lengths[text];
    }
}

/* ---- what compiled.py calls ---- */

/* How many floats a vector of this library has. */
int lanes(void) { return LANES; }

/* How many floats a vector has that this processor works on at once. */
int lanes_here(void) {
#if defined __x86_64__
    __builtin_cpu_init();
    int two = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    int four = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    return two && four ? 16 : two ? 8 : 4;
#else
    return LANES;
#endif
}

/* Whether this library is faster than numpy, which knows the instructions that the least of an x86 lacks. */
int worth_while(void) {
#if defined __x86_64__
    return LANES > 4;
#else
    return 1;
#endif
}

enum outcome { DONE, NO_MEMORY, NO_SUCH_TOKEN };

/* Writes the vectors [count, dim] of texts whose ids lie end to end. */
int encode(const struct bert *bert, int64_t count, const int32_t *ids, const int32_t *lengths,
           const int32_t *text_starts, float *vectors) {
    size_t width = bert->width, heads = bert->heads, dim = bert->dim, total = 0, n = 1;
    for (int64_t i = 0; i < count; i++) {
        if (lengths[i] < 1 || lengths[i] > bert->longest) return NO_SUCH_TOKEN;
        if ((size_t)lengths[i] > n) n = lengths[i];
        total += lengths[i];
    }
    for (size_t i = 0; i < total; i++)
        if (ids[i] < 0 || ids[i] >= bert->vocabulary) return NO_SUCH_TOKEN;

    size_t most = n > GROUP ? n : GROUP, tokens = total < most ? total : most;
    size_t padded = whole(n, PANEL), rows = n > heads ? n : heads;
    struct space space;
    struct { float **at; size_t size; } parts[] = {
        {&space.hidden, tokens * width},
        {&space.fused, tokens * 3 * width},
        {&space.context, tokens * width},
        {&space.widened, tokens * bert->inner},
        {&space.keys, padded * width / heads},
        {&space.scores, rows * padded},
        {&space.mask, padded},
        {&space.sums, rows},
        {&space.row, width},
        {&space.rows, heads * width},
        {&space.last, whole(dim, PANEL)},
    };
    const size_t part_count = sizeof parts / sizeof *parts;
    size_t needed = LINE; /* something, where there is no text */
    for (size_t i = 0; i < part_count; i++) needed += whole(parts[i].size, LINE);
    float *memory = aligned_alloc(LINE * sizeof(float), needed * sizeof(float)), *next = memory;
    if (!memory) return NO_MEMORY;
    for (size_t i = 0; i < part_count; next += whole(parts[i++].size, LINE)) *parts[i].at = next;

    for (int64_t done = 0; done < count;) {
        struct texts group = {0, ids, lengths + done, text_starts + done};
        size_t size = 0;
        for (; done < count && (!group.count || size + lengths[done] <= tokens); group.count++) size += lengths[done++];
        encode_group(bert, &group, &space, vectors);
        ids += size;
        vectors += group.count * dim;
    }
    free(memory);
    return DONE;
}
