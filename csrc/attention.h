/* Attention of every token, and of [CLS] alone. The letters for shapes are explained in bert.h. */

#ifndef DPR_ATTENTION_H
#define DPR_ATTENTION_H

#include "bert.h"
#include "gemm.h"

/* Multi-head attention of one text: qkv [N, 3C] -> context [N, C]. For each head and token n:
   context[n] = sum over m of softmax(query[n] . key[m]) value[m]. */
REFERENCE void attention_reference(size_t N, size_t C, size_t H, const float *qkv, float *probabilities,
                                   float *context) {
    size_t D = C / H;
    for (size_t h = 0; h < H; h++) {
        for (size_t n = 0; n < N; n++) {
            const float *query = qkv + n * 3 * C + h * D;
            float largest = -INFINITY, sum = 0;
            for (size_t m = 0; m < N; m++) {
                const float *key = qkv + m * 3 * C + C + h * D;
                float score = 0;
                for (size_t d = 0; d < D; d++) score += query[d] * key[d];
                if (score > largest) largest = score;
                probabilities[m] = score;
            }
            for (size_t m = 0; m < N; m++) {
                probabilities[m] = expf(probabilities[m] - largest);
                sum += probabilities[m];
            }
            for (size_t d = 0; d < D; d++) {
                float total = 0;
                for (size_t m = 0; m < N; m++) total += probabilities[m] / sum * qkv[m * 3 * C + 2 * C + h * D + d];
                context[n * C + h * D + d] = total;
            }
        }
    }
}

/* Packs the keys of one head, rows [N, D] that are stride apart, as the right-hand matrix [D, N] of a gemm. */
static void pack_keys(size_t N, size_t D, const float *key, size_t stride, float *panels) {
    size_t NP = round_up(N, PANEL);
    for (size_t n = 0; n < NP; n++) {
        float *column = panels + n / PANEL * D * PANEL + n % PANEL;
        for (size_t d = 0; d < D; d++) column[d * PANEL] = n < N ? key[n * stride + d] : 0;
    }
}

/* As attention_reference: scores = query keys', then context = softmax(scores) values, head by head. */
static void attention(size_t N, size_t C, size_t H, const float *qkv, struct scratch *scratch, float *context) {
    size_t D = C / H, NP = round_up(N, PANEL);
    for (size_t n = 0; n < NP; n++) scratch->mask[n] = n < N ? 0 : -1e30f;
    for (size_t h = 0; h < H; h++) {
        const float *query = qkv + h * D, *key = query + C, *value = key + C; /* rows are 3C apart */
        float *head_context = context + h * D;                               /* rows are C apart */
        pack_keys(N, D, key, 3 * C, scratch->keys);
        gemm(N, D, NP, query, 3 * C, scratch->keys, D * PANEL, PANEL, scratch->mask, NULL, scratch->scores, NP);
        softmax_numerators(N, NP, scratch->scores, scratch->sums);
        gemm(N, N, D, scratch->scores, NP, value, PANEL, 3 * C, NULL, NULL, head_context, C);
        for (size_t n = 0; n < N; n++) {
            float *row = head_context + n * C;
            float reciprocal_sum = 1 / scratch->sums[n];
            for (size_t d = 0; d < D; d += LANES) store(row + d, load(row + d) * reciprocal_sum);
        }
    }
}

/* Attention of one text's first token, [CLS], in the last layer: hidden [N, C] -> context [C]. The key and value
   products are taken once instead of once a token: q (x K) = (q K') x, and p (x V) = (p x) V. */
static void cls_attention(const struct dpr_bert *bert, size_t N, const float *hidden, struct scratch *scratch,
                          float *context) {
    size_t C = bert->width, H = bert->heads, D = C / H, NP = round_up(N, PANEL);
    linear(1, C, C, hidden, bert->cls_query, bert->cls_query_bias, NULL, scratch->query);
    for (size_t h = 0; h < H; h++) {
        float *projected_query = scratch->projected_query + h * C, *scores = scratch->scores + h * NP;
        linear(1, D, C, scratch->query + h * D, bert->cls_key + h * D * C, NULL, NULL, projected_query);
        for (size_t n = 0; n < N; n++) {
            vec sum = splat(0);
            for (size_t c = 0; c < C; c += LANES) sum += load(projected_query + c) * load(hidden + n * C + c);
            scores[n] = hsum(sum);
        }
        for (size_t n = N; n < NP; n++) scores[n] = -1e30f;
    }
    softmax_numerators(H, NP, scratch->scores, scratch->sums);
    gemm(H, N, C, scratch->scores, NP, hidden, PANEL, C, NULL, NULL, scratch->weighted_hidden, C);
    for (size_t h = 0; h < H; h++) {
        float *weighted_hidden = scratch->weighted_hidden + h * C;
        for (size_t c = 0; c < C; c++) weighted_hidden[c] /= scratch->sums[h];
        linear(1, C, D, weighted_hidden, bert->cls_value + h * C * D, bert->cls_value_bias + h * D, NULL,
               context + h * D);
    }
}

#endif
