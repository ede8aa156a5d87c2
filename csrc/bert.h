/* A BERT's weights, its texts and its scratch buffers.

   Shapes:  T  tokens of a group             C  width of the hidden rows
            N  tokens of one text            H  attention heads
            NP N rounded up to PANEL         D  size of a head, C / H
            E  size of a text's vector       F  inner width of the feed-forward network */

#ifndef DPR_BERT_H
#define DPR_BERT_H

#include <stddef.h>
#include <stdint.h>

#include "simd.h"

/* native_library.py mirrors the two structures below. Whoever changes them increments LAYOUT, here and there. */
#define LAYOUT "1"

struct dpr_layer {
    const float *qkv, *qkv_bias;           /* [C, 3C], [3C]: query, key and value */
    const float *attn_out, *attn_out_bias; /* [C, C], [C] */
    const float *attn_layernorm_scale;     /* [C] */
    const float *ffn_in, *ffn_in_bias;     /* [C, F], [F] */
    const float *ffn_out, *ffn_out_bias;   /* [F, C], [C] */
    const float *ffn_layernorm_scale;      /* [C] */
};

struct dpr_bert {
    size_t layer_count, width, heads, inner_width, vector_size, vocabulary_size, max_length;
    int32_t activation, mean_pooling, normalize; /* enum activation, and two booleans */
    float layernorm_epsilon;
    const float *word_embeddings;           /* [vocabulary_size, C] */
    const float *position_embeddings;       /* [max_length, C], the first segment's embedding added */
    const float *segment_delta;             /* [C]: the second segment's embedding minus the first's */
    const float *embedding_layernorm_scale; /* [C] */
    const float *final_layernorm_bias;      /* [C]: the offset that no linear layer follows */
    const struct dpr_layer *layers;
    /* The last layer's attention where only the row of [CLS] is read; NULL where all rows are. */
    const float *cls_query, *cls_query_bias; /* [C, C], [C] */
    const float *cls_key;                    /* [H, D, C]: the key weights, transposed */
    const float *cls_value, *cls_value_bias; /* [H, C, D], [C] */
    /* NULL where the model has none. */
    const float *pooler, *pooler_bias;         /* [C, C], [C] */
    const float *projection, *projection_bias; /* [C, E], [E rounded up to PANEL] */
};

/* Texts whose ids are packed end to end. */
struct texts {
    size_t count;
    const uint32_t *ids, *lengths, *segment_starts;
};

/* Scratch buffers for one group. */
struct scratch {
    float *hidden;   /* [T, C] */
    float *qkv;      /* [T, 3C] */
    float *context;  /* [T, C] */
    float *attn_out; /* [T, C] */
    float *ffn_in;   /* [T, F] */
    /* attention of one text */
    float *keys;   /* [NP / PANEL, D, PANEL]: one head's keys, packed */
    float *mask;   /* [NP]: 0, and -1e30 where there is no token, which makes its softmax numerator 0 */
    float *scores; /* [N, NP]; cls_attention: [H, NP] */
    float *sums;   /* [N]; cls_attention: [H] */
    /* cls_attention and pooling of one text */
    float *query;           /* [C] */
    float *projected_query; /* [H, C] */
    float *weighted_hidden; /* [H, C] */
    float *pooled;          /* [C] */
    float *pooler_out;      /* [C] */
    float *projected;       /* [E rounded up to PANEL] */
};

INLINE size_t round_up(size_t size, size_t multiple) { return (size + multiple - 1) / multiple * multiple; }

#endif
