/* Decodes the tensors that `neuralcodec export-c model.c --prepared` wrote, tile by tile, and prints what that takes, a key=value
 * a line: what examples/decode_all does with a stream. Built in a folder with model.c and model.h. */
#include "model.h"
#include "port.h"

#define TILE_BYTES (MODEL_TILE << MODEL_WIDE)
#define ROOM (TILE_BYTES > MODEL_TILE_BYTES ? TILE_BYTES : MODEL_TILE_BYTES)

extern const uint8_t _decoder_start[], _decoder_end[]; /* image.ld */

enum { BYTES = 1, INDICES = 2, WIDE = 3 }; /* a tensor's mode */

static uint32_t tile_buffer[ROOM / 4u + 1u];
static uint32_t workspace[(MODEL_WORKSPACE + 3u) / 4u];

__attribute__((noreturn)) static void fail(const char *stage, uint32_t tensor, uint32_t tile, ncd_status status)
{
    port_text("error=");
    port_text(stage);
    port_text("\n");
    port_print("error.tensor", tensor);
    port_print("error.tile", tile);
    port_print("error.status", status);
    port_exit(PORT_FAILED);
}

/* Bytes of the output for a weight. */
static uint32_t unit_size(const ncd_tensor *t)
{
    return t->mode == BYTES ? t->elem_size : t->mode == WIDE ? 2u : 1u;
}

static ncd_status decode_tile(const ncd_tensor *t, uint32_t tile)
{
#if NCD_ENABLE_KMEANS
    if (t->mode == INDICES) {
        return ncd_decode_tile_indices(t, tile, (uint8_t *)tile_buffer, sizeof tile_buffer, workspace);
    }
#endif
#if MODEL_WIDE
    if (t->mode == WIDE) {
        return ncd_decode_tile_i16(t, tile, (int16_t *)tile_buffer, sizeof tile_buffer / 2u, workspace);
    }
#endif
#if MODEL_TILE_BYTES > 1
    if (t->mode == BYTES) {
        return ncd_decode_tile_bytes(t, tile, (uint8_t *)tile_buffer, sizeof tile_buffer, workspace);
    }
#endif
    return ncd_decode_tile_i8(t, tile, (int8_t *)tile_buffer, sizeof tile_buffer, workspace);
}

static void prepare(uint32_t i)
{
    const ncd_status status = ncd_tensor_prepare(&model[i], workspace, sizeof workspace);

    if (status != NCD_OK) {
        fail("prepare", i, 0, status);
    }
}

static void decode(uint32_t i, uint32_t tile)
{
    const ncd_status status = decode_tile(&model[i], tile);

    if (status != NCD_OK) {
        fail("decode", i, tile, status);
    }
}

/* The deepest use of the stack by decoding alone, below this function's caller; with what its calls pass on the stack. */
__attribute__((noinline)) static uint32_t measure_stack(void)
{
    uint32_t depth = port_stack_depth(), i, tile;

    port_stack_paint();
    for (i = 0; i < MODEL_TENSORS; ++i) {
#ifdef STACK_OF_PREPARING
        prepare(i);
#endif
        for (tile = 0; tile < model[i].tiles; ++tile) {
            if (model[i].codec == NCD_CODEC_TRELLIS) {
                decode(i, tile);
            }
        }
    }
    return port_stack_peak() - depth;
}

int main(void)
{
    uint32_t i, tile, row, column, rows, columns, from, to, checksum = 0, stack;
    uint64_t weights = 0, instructions = 0;
    ncd_status status;

    stack = measure_stack();
    for (i = 0; i < MODEL_TENSORS; ++i) {
        const ncd_tensor *const t = &model[i];

        status = ncd_tensor_check(t);
        if (status != NCD_OK) {
            fail("check", i, 0, status);
        }
        prepare(i);
        for (tile = 0; tile < t->tiles; ++tile) {
            from = port_counter();
            decode(i, tile);
            to = port_counter();
            status = ncd_tile_place(t, tile, &row, &column, &rows, &columns);
            if (status != NCD_OK) {
                fail("place", i, tile, status);
            }
            if (t->codec == NCD_CODEC_TRELLIS) {
                instructions += port_instructions(from, to);
                weights += rows * columns;
            }
            checksum = ncd_crc32(checksum, tile_buffer, (size_t)rows * columns * unit_size(t));
        }
    }
    port_print("tensors", MODEL_TENSORS);
    port_print("crc32", checksum);
    port_print("trellis.weights", (int64_t)weights);
    if (weights != 0) {
        port_print("trellis.per_weight_x100", (int64_t)((instructions * 100u + weights / 2u) / weights));
    }
    port_print("stack_bytes", stack);
    port_print("workspace_bytes", sizeof workspace);
    port_print("tensor_struct_bytes", sizeof model[0]);
    port_print("decoder_code_bytes", _decoder_end - _decoder_start);
    return PORT_OK;
}
