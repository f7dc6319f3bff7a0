/* A program as small as it goes around the decoder, for `make size`: opens, checks and decodes all tensors; or decodes a prepared
 * one, of which nothing else is left to do. */
#include "ncd.h"

#if NCD_TRELLIS_PREPARED
extern const ncd_tensor tensor;
const ncd_tensor tensor = {0};
#else
extern const uint8_t blob[];
extern const uint32_t blob_size;
const uint8_t blob[16] = {0};
const uint32_t blob_size = sizeof blob;

/* The sizes are read off the symbol table. */
extern char size_ncd_model[sizeof(ncd_model)], size_ncd_tensor[sizeof(ncd_tensor)],
    size_workspace[NCD_HUFFMAN_WORKSPACE];
char size_ncd_model[sizeof(ncd_model)], size_ncd_tensor[sizeof(ncd_tensor)], size_workspace[NCD_HUFFMAN_WORKSPACE];
#endif
static int8_t weights[1024];

void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);

void *memcpy(void *to, const void *from, size_t n)
{
    volatile char *o = (volatile char *)to;
    const char *i = (const char *)from;
    while (n-- > 0)
        *o++ = *i++;
    return to;
}

void *memset(void *to, int byte, size_t n)
{
    volatile char *o = (volatile char *)to;
    while (n-- > 0)
        *o++ = (char)byte;
    return to;
}

#if NCD_TRELLIS_PREPARED
int main(void)
{
    const ncd_tensor *volatile const t = &tensor; /* not known to the compiler */
    uint32_t tile;
    int status = 0;
    for (tile = 0; tile < t->tiles; ++tile)
        status |= ncd_decode_tile_i8(t, tile, weights, sizeof weights, 0);
    return status;
}
#else
int main(void)
{
    ncd_model *const m = (ncd_model *)(void *)size_ncd_model;
    ncd_tensor *const t = (ncd_tensor *)(void *)size_ncd_tensor;
    uint32_t i, tile;
    int status = ncd_model_open(m, blob, blob_size);
    for (i = 0; status == 0 && i < m->n_tensors; ++i) {
        status |= ncd_tensor_open(m, i, t);
        status |= ncd_tensor_check(t);
        status |= ncd_tensor_prepare(t, size_workspace, sizeof size_workspace);
        for (tile = 0; tile < t->tiles; ++tile) {
#if NCD_ENABLE_LOSSLESS
            if (t->mode != 0)
                status |= ncd_decode_tile_bytes(t, tile, (uint8_t *)weights, sizeof weights, size_workspace);
            else
#endif
#if NCD_ENABLE_FLOAT
                status |= ncd_decode_tile_f32(t, tile, (float *)(void *)weights, sizeof weights / 4, size_workspace);
#else
                status |= ncd_decode_tile_i8(t, tile, weights, sizeof weights, size_workspace);
#endif
        }
    }
    return status;
}
#endif
