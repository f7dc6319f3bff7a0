/* The same as size.c for a tensor that `neuralcodec export-c --prepared` has opened: nothing is left but to decode its tiles. */
#include "ncd.h"

extern const ncd_tensor tensor;
const ncd_tensor tensor = {0};
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

int main(void)
{
    const ncd_tensor *volatile const t = &tensor; /* not known to the compiler */
    uint32_t tile;
    int status = 0;
    for (tile = 0; tile < t->tiles; ++tile)
        status |= ncd_decode_tile_i8(t, tile, weights, sizeof weights, 0);
    return status;
}
