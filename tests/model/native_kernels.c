/* The kernels of csrc/ and their scalar references, exported for test_native_kernels.py. */

#include "bert.c"

EXPORT void test_gemm(size_t rows, size_t depth, size_t cols, const float *a, size_t a_stride, const float *b,
                      size_t b_panel_stride, size_t b_stride, const float *bias, const float *residual, float *out,
                      size_t out_stride) {
    gemm(rows, depth, cols, a, a_stride, b, b_panel_stride, b_stride, bias, residual, out, out_stride);
}

EXPORT void test_gemm_reference(size_t rows, size_t depth, size_t cols, const float *a, size_t a_stride, const float *b,
                                size_t b_panel_stride, size_t b_stride, const float *bias, const float *residual,
                                float *out, size_t out_stride) {
    gemm_reference(rows, depth, cols, a, a_stride, b, b_panel_stride, b_stride, bias, residual, out, out_stride);
}

EXPORT void test_attention(size_t N, size_t C, size_t H, const float *qkv, float *context) {
    struct dpr_bert bert = {.width = C, .heads = H};
    struct scratch scratch;
    float *block = allocate_scratch(&bert, N, N, &scratch);
    attention(N, C, H, qkv, &scratch, context);
    aligned_free(block);
}

EXPORT void test_attention_reference(size_t N, size_t C, size_t H, const float *qkv, float *context) {
    float *probabilities = malloc(N * sizeof(float));
    attention_reference(N, C, H, qkv, probabilities, context);
    free(probabilities);
}

EXPORT void test_layer_norm(size_t rows, size_t cols, float epsilon, const float *scale, float *x) {
    layer_norm(rows, cols, epsilon, scale, x);
}

EXPORT void test_activate(int activation, size_t size, float *x) { activate((enum activation)activation, size, x); }

EXPORT void test_softmax_numerators(size_t rows, size_t cols, float *scores, float *sums) {
    softmax_numerators(rows, cols, scores, sums);
}

/* What native_library.py mirrors, as the compiler lays it out. */
EXPORT size_t test_bert_size(void) { return sizeof(struct dpr_bert); }
EXPORT size_t test_layer_size(void) { return sizeof(struct dpr_layer); }
