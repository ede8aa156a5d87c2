/* The forward pass of a BERT on a CPU, token ids -> vectors; called by dpr_tiny_retriever/model/bert_native.py.

   Compiled once for each instruction set. Texts are packed end to end, without padding. They are processed in groups of
   up to 256 tokens: few enough that activations stay in cache, enough to amortize streaming the weights.

   The letters for shapes are explained in bert.h. Weights of linear layers are packed as gemm.h says. LayerNorm offsets
   are folded into the bias of the next linear layer, the factor D^-0.5 of the scores into the query weights: see
   model/folding.py. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined __x86_64__
#include <cpuid.h>
#endif

#include "attention.h"
#include "bert.h"
#include "gemm.h"

#if defined __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define BUFFER_GAP CACHE_LINE /* floats between scratch buffers that must not be touched */
#else
#define BUFFER_GAP 0
#define ASAN_POISON_MEMORY_REGION(start, size) ((void)0)
#endif

#if defined _WIN32
#include <malloc.h>
#define EXPORT __declspec(dllexport)
#define aligned_alloc(alignment, size) _aligned_malloc(size, alignment)
#define aligned_free _aligned_free
#else
#define EXPORT __attribute__((visibility("default")))
#define aligned_free free
#endif

#define GROUP_TOKENS 256 /* a longer text makes a group of its own */

/* The rest of a transformer layer: hidden [rows, C] and context [rows, C] -> hidden. */
static void feed_forward(const struct dpr_bert *bert, const struct dpr_layer *layer, size_t rows,
                         struct scratch *scratch) {
    size_t C = bert->width, F = bert->inner_width;
    float *hidden = scratch->hidden, *attn_out = scratch->attn_out, *ffn_in = scratch->ffn_in;
    linear(rows, C, C, scratch->context, layer->attn_out, layer->attn_out_bias, hidden, attn_out);
    layer_norm(rows, C, bert->layernorm_epsilon, layer->attn_layernorm_scale, attn_out);
    linear(rows, C, F, attn_out, layer->ffn_in, layer->ffn_in_bias, NULL, ffn_in);
    activate((enum activation)bert->activation, rows * F, ffn_in);
    linear(rows, F, C, ffn_in, layer->ffn_out, layer->ffn_out_bias, attn_out, hidden);
    layer_norm(rows, C, bert->layernorm_epsilon, layer->ffn_layernorm_scale, hidden);
}

/* The embedding layer: ids of T tokens -> hidden [T, C]. */
static void embed(const struct dpr_bert *bert, const struct texts *texts, size_t T, float *hidden) {
    size_t C = bert->width;
    /* Rows of the vocabulary are scattered over memory: fetch all before the first is used. */
    for (size_t t = 0; t < T; t++)
        for (size_t c = 0; c < C; c += CACHE_LINE) __builtin_prefetch(bert->word_embeddings + texts->ids[t] * C + c);
    size_t t = 0;
    for (size_t text = 0; text < texts->count; text++) {
        for (size_t n = 0; n < texts->lengths[text]; n++) {
            const float *word = bert->word_embeddings + texts->ids[t] * C;
            const float *position = bert->position_embeddings + n * C;
            int second_segment = n >= texts->segment_starts[text];
            for (size_t c = 0; c < C; c += LANES) {
                vec sum = load(word + c) + load(position + c);
                if (second_segment) sum += load(bert->segment_delta + c);
                store(hidden + t * C + c, sum);
            }
            t++;
        }
    }
    layer_norm(T, C, bert->layernorm_epsilon, bert->embedding_layernorm_scale, hidden);
}

/* The vector [E] of one text from its hidden rows: the mean of [rows, C], which is the row itself where only [CLS] is
   read, then what the model has of pooler, projection and normalization. */
static void pool(const struct dpr_bert *bert, size_t rows, const float *hidden, struct scratch *scratch,
                 float *vector) {
    size_t C = bert->width, E = bert->vector_size;
    float *pooled = scratch->pooled;
    for (size_t c = 0; c < C; c += LANES) {
        vec sum = splat(0);
        for (size_t r = 0; r < rows; r++) sum += load(hidden + r * C + c);
        store(pooled + c, sum / (float)rows + load(bert->final_layernorm_bias + c));
    }
    if (bert->pooler) {
        linear(1, C, C, pooled, bert->pooler, bert->pooler_bias, NULL, scratch->pooler_out);
        for (size_t c = 0; c < C; c++) scratch->pooler_out[c] = tanhf(scratch->pooler_out[c]);
        pooled = scratch->pooler_out;
    }
    if (bert->projection) {
        linear(1, C, round_up(E, PANEL), pooled, bert->projection, bert->projection_bias, NULL, scratch->projected);
        pooled = scratch->projected;
    }
    float norm = 1;
    if (bert->normalize) {
        float squares = 0;
        for (size_t e = 0; e < E; e++) squares += pooled[e] * pooled[e];
        norm = sqrtf(squares);
        if (norm < 1e-12f) norm = 1e-12f;
    }
    for (size_t e = 0; e < E; e++) vector[e] = pooled[e] / norm;
}

/* The vectors [texts, E] of a group of T tokens. */
static void forward_group(const struct dpr_bert *bert, const struct texts *texts, size_t T, struct scratch *scratch,
                          float *vectors) {
    size_t C = bert->width, H = bert->heads, E = bert->vector_size;
    float *hidden = scratch->hidden;
    embed(bert, texts, T, hidden);

    size_t full_layers = bert->cls_query ? bert->layer_count - 1 : bert->layer_count;
    for (size_t l = 0; l < full_layers; l++) {
        const struct dpr_layer *layer = &bert->layers[l];
        linear(T, C, 3 * C, hidden, layer->qkv, layer->qkv_bias, NULL, scratch->qkv);
        size_t first = 0; /* token of the text */
        for (size_t text = 0; text < texts->count; text++) {
            size_t N = texts->lengths[text];
            attention(N, C, H, scratch->qkv + first * 3 * C, scratch, scratch->context + first * C);
            first += N;
        }
        feed_forward(bert, layer, T, scratch);
    }

    if (bert->cls_query) {
        size_t first = 0;
        for (size_t text = 0; text < texts->count; text++) {
            size_t N = texts->lengths[text];
            cls_attention(bert, N, hidden + first * C, scratch, scratch->context + text * C);
            /* From here on hidden has one row a text; no later text's rows are overwritten, for text <= first. */
            memmove(hidden + text * C, hidden + first * C, C * sizeof(float));
            first += N;
        }
        feed_forward(bert, &bert->layers[full_layers], texts->count, scratch);
    }

    size_t first = 0;
    for (size_t text = 0; text < texts->count; text++) {
        size_t N = texts->lengths[text];
        pool(bert, bert->mean_pooling ? N : 1, hidden + first * C, scratch, vectors + text * E);
        first += bert->cls_query ? 1 : N;
    }
}

/* Allocates all buffers as one block, each on a cache line of its own; NULL if there is no memory. The caller frees the
   block. T and N are the largest of the call. */
static float *allocate_scratch(const struct dpr_bert *bert, size_t T, size_t N, struct scratch *scratch) {
    size_t C = bert->width, H = bert->heads, F = bert->inner_width, NP = round_up(N, PANEL);
    size_t score_rows = N > H ? N : H;
    struct {
        float **start;
        size_t size;
    } buffers[] = {
        {&scratch->hidden, T * C},
        {&scratch->qkv, T * 3 * C},
        {&scratch->context, T * C},
        {&scratch->attn_out, T * C},
        {&scratch->ffn_in, T * F},
        {&scratch->keys, NP * (C / H)},
        {&scratch->mask, NP},
        {&scratch->scores, score_rows * NP},
        {&scratch->sums, score_rows},
        {&scratch->query, C},
        {&scratch->projected_query, H * C},
        {&scratch->weighted_hidden, H * C},
        {&scratch->pooled, C},
        {&scratch->pooler_out, C},
        {&scratch->projected, round_up(bert->vector_size, PANEL)},
    };
    const size_t buffer_count = sizeof buffers / sizeof *buffers;
    size_t total = 0;
    for (size_t i = 0; i < buffer_count; i++) total += round_up(buffers[i].size, CACHE_LINE) + BUFFER_GAP;
    float *block = aligned_alloc(CACHE_LINE * sizeof(float), total * sizeof(float));
    if (!block) return NULL;
    float *next = block;
    for (size_t i = 0; i < buffer_count; i++) {
        size_t size = round_up(buffers[i].size, CACHE_LINE);
        *buffers[i].start = next;
        ASAN_POISON_MEMORY_REGION(next + size, BUFFER_GAP * sizeof(float));
        next += size + BUFFER_GAP;
    }
    return block;
}

/* ---- what Python calls ---- */

/* The instruction set of this library, and the layout of struct dpr_bert that it was compiled with. */
EXPORT const char *dpr_build(void) { return BUILD ", layout " LAYOUT; }

/* How many floats the vectors of this library have. */
EXPORT int dpr_lanes(void) { return LANES; }

/* How many floats the widest vectors of this processor have, of those that there are builds for.

   Asked of the processor itself: __builtin_cpu_supports knows of no instructions where Zig links the library. XCR0 says
   which registers the system saves when it switches threads. */
EXPORT int dpr_cpu_lanes(void) {
#if defined __x86_64__
    unsigned a, b, c, d, b7;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 4;
    const unsigned avx_fma_osxsave = 1u << 28 | 1u << 12 | 1u << 27;
    if ((c & avx_fma_osxsave) != avx_fma_osxsave || !__get_cpuid_count(7, 0, &a, &b7, &c, &d)) return 4;
    unsigned xcr0, high;
    __asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
    const unsigned avx_state = 0x06, avx512_state = 0xe6;
    const unsigned avx2_bmi2 = 1u << 5 | 1u << 8;
    const unsigned avx512 = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31; /* F, DQ, CD, BW, VL */
    if ((b7 & avx2_bmi2) != avx2_bmi2 || (xcr0 & avx_state) != avx_state) return 4;
    return (b7 & avx512) == avx512 && (xcr0 & avx512_state) == avx512_state ? 16 : 8;
#else
    return LANES;
#endif
}

enum dpr_outcome { DPR_DONE, DPR_OUT_OF_MEMORY, DPR_INVALID_INPUT, DPR_WRONG_SIZE, DPR_NOT_FINITE };

/* Whether no float is NaN or infinite: those have all bits of the exponent set. */
static int all_finite(size_t count, const float *floats) {
    uint32_t not_finite = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, floats + i, sizeof bits);
        not_finite |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !not_finite;
}

/* Writes the vectors [text_count, E] of texts whose ids are packed end to end.

   DPR_WRONG_SIZE: bert_size is not the structure's, id_count not the sum of lengths, or vectors_size not text_count E.
   DPR_INVALID_INPUT: an id is outside the vocabulary, or a length below 1 or above max_length. Python's int32 arrays
   are read as unsigned, so that a negative number is one that is too large. DPR_NOT_FINITE: the vectors are written, but
   some are NaN or infinite. */
EXPORT int dpr_encode(const struct dpr_bert *bert, size_t bert_size, size_t text_count, const uint32_t *ids,
                      size_t id_count, const uint32_t *lengths, const uint32_t *segment_starts, float *vectors,
                      size_t vectors_size) {
    if (bert_size != sizeof *bert || vectors_size != text_count * bert->vector_size) return DPR_WRONG_SIZE;
    size_t total = 0, longest = 1;
    for (size_t text = 0; text < text_count; text++) {
        if (lengths[text] < 1 || lengths[text] > bert->max_length) return DPR_INVALID_INPUT;
        if (lengths[text] > longest) longest = lengths[text];
        total += lengths[text];
    }
    if (id_count != total) return DPR_WRONG_SIZE;
    for (size_t i = 0; i < id_count; i++)
        if (ids[i] >= bert->vocabulary_size) return DPR_INVALID_INPUT;

    size_t group_tokens = longest > GROUP_TOKENS ? longest : GROUP_TOKENS;
    if (total < group_tokens) group_tokens = total;
    struct scratch scratch;
    float *block = allocate_scratch(bert, group_tokens, longest, &scratch);
    if (!block) return DPR_OUT_OF_MEMORY;

    struct texts group = {0, ids, lengths, segment_starts};
    for (size_t done = 0; done < text_count; done += group.count) {
        group.lengths = lengths + done;
        group.segment_starts = segment_starts + done;
        group.count = 0;
        size_t T = 0;
        while (done + group.count < text_count && T + group.lengths[group.count] <= group_tokens) {
            T += group.lengths[group.count];
            group.count++;
        }
        forward_group(bert, &group, T, &scratch, vectors + done * bert->vector_size);
        group.ids += T;
    }
    aligned_free(block);
    return all_finite(vectors_size, vectors) ? DPR_DONE : DPR_NOT_FINITE;
}
