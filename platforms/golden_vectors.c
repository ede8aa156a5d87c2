/* golden_vectors LIBRARY FILE: loads a native library, as Python's ctypes does, has it encode the texts in the file, and
   compares the vectors with those in the file, which platforms/golden_vectors.py has written. For systems that there is
   no Python for here. Returns 0 if all are equal within TOLERANCE, 3 if this processor cannot run the library. */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../csrc/bert.h"

#if defined _WIN32
#include <windows.h>
#define OPEN(path) ((void *)LoadLibraryA(path))
#define WHY_NOT() ""
#define FIND(library, name) ((void *)GetProcAddress((HMODULE)(library), name))
#else
#include <dlfcn.h>
#define OPEN(path) dlopen(path, RTLD_NOW | RTLD_LOCAL)
#define WHY_NOT() dlerror()
#define FIND(library, name) dlsym(library, name)
#endif

#define TOLERANCE 2e-5f /* the exact vectors are within 1e-5 of each backend's */

/* A model and its texts. Numbers of bytes are counted from the start of the file, which begins with the number of
   cases and their structures. */
struct golden {
    uint64_t lanes, model, texts, ids, id_count, lengths, segment_starts, vectors, vectors_size;
};

typedef int encode_function(const struct dpr_bert *, size_t, size_t, const uint32_t *, size_t, const uint32_t *,
                            const uint32_t *, float *, size_t);

static char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(size);
    if (bytes && fread(bytes, 1, size, file) != size) bytes = NULL;
    fclose(file);
    return bytes;
}

/* In the file, pointers are numbers of bytes from its start; 0 is NULL. */
static void relocate(void *first, void *end, char *file) {
    for (char **pointer = first; pointer < (char **)end; pointer++)
        if (*pointer) *pointer = file + (uintptr_t)*pointer;
}

static struct dpr_bert *model_of(const struct golden *golden, char *file) {
    struct dpr_bert *bert = (struct dpr_bert *)(void *)(file + golden->model);
    relocate(&bert->word_embeddings, bert + 1, file);
    struct dpr_layer *layers = (struct dpr_layer *)(void *)bert->layers;
    relocate(layers, layers + bert->layer_count, file);
    return bert;
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    void *library = OPEN(arguments[1]);
    char *file = read_file(arguments[2]);
    if (!library || !file) {
        printf("%s cannot be loaded: %s\n", library ? arguments[2] : arguments[1], library ? "" : WHY_NOT());
        return 2;
    }
    const char *(*build)(void) = (const char *(*)(void))FIND(library, "dpr_build");
    int (*lanes)(void) = (int (*)(void))FIND(library, "dpr_lanes");
    int (*cpu_lanes)(void) = (int (*)(void))FIND(library, "dpr_cpu_lanes");
    encode_function *encode = (encode_function *)FIND(library, "dpr_encode");
    if (lanes() > cpu_lanes()) {
        printf("%s: this processor has no such instructions\n", build());
        return 3;
    }
    uint64_t case_count = *(uint64_t *)(void *)file, compared = 0;
    struct golden *cases = (struct golden *)(void *)(file + 64);
    float largest = 0;
    for (struct golden *golden = cases; golden < cases + case_count; golden++) {
        if (golden->lanes != (uint64_t)lanes()) continue;
        float *found = malloc(golden->vectors_size * sizeof *found);
        const float *expected = (const float *)(void *)(file + golden->vectors);
        int outcome = encode(model_of(golden, file), sizeof(struct dpr_bert), golden->texts,
                             (uint32_t *)(void *)(file + golden->ids), golden->id_count,
                             (uint32_t *)(void *)(file + golden->lengths),
                             (uint32_t *)(void *)(file + golden->segment_starts), found, golden->vectors_size);
        if (outcome) {
            printf("%s: dpr_encode returned %d\n", build(), outcome);
            return 1;
        }
        for (uint64_t i = 0; i < golden->vectors_size; i++) largest = fmaxf(largest, fabsf(found[i] - expected[i]));
        compared += golden->vectors_size;
        free(found);
    }
    printf("%s: %llu numbers, the largest difference %.1e\n", build(), (unsigned long long)compared, (double)largest);
    return compared && largest <= TOLERANCE ? 0 : 1;
}
