/* Decodes every tensor of the model stream in flash, tile by tile, and prints what that takes, a key=value a line.
 *
 * Three passes: the first checks all payloads, the second only tells the depth of the stack, the third counts
 * instructions and checksums, whose own code would otherwise disturb that depth. */
#include "ncd.h"
#include "port.h"

#ifndef TILE_BYTES
#define TILE_BYTES 8192
#endif
/* Room for the four code tables of losslessly coded f32. */
#ifndef WORKSPACE_BYTES
#define WORKSPACE_BYTES (4u * NCD_HUFFMAN_WORKSPACE)
#endif

/* Per cent of the way from the least workspace that tensors take, which decodes slowest, to the one that they want. */
#ifndef WORKSPACE_SHARE
#define WORKSPACE_SHARE 100u
#endif

extern const uint8_t model_stream[], model_stream_end[];
extern const uint8_t _decoder_start[], _decoder_end[]; /* image.ld */

/* What the decoder does differently, and so at different cost. */
enum { RAW, HUFFMAN_LEVELS, HUFFMAN_LOSSLESS, KMEANS_FIXED, KMEANS_PREFIX, KMEANS_RANS, TRELLIS, REGRESSION_ROWS, REGRESSION_EXPRESSION,
       REGRESSION_BASIS, GENERATIVE, AUTOENCODER, OTHER, KINDS };
static const char *const kind_names[KINDS] = {
    "raw", "huffman.levels", "huffman.lossless", "kmeans.fixed", "kmeans.prefix", "kmeans.rans", "trellis",
    "regression.rows", "regression.expression", "regression.basis", "generative", "autoencoder", "other",
};
enum { LEVELS = 0, BYTES = 1, INDICES = 2, WIDE = 3 }; /* a tensor's mode */

typedef struct cost {
    uint64_t instructions;
    uint64_t units; /* weights, bytes or tensors */
} cost;

/* Static, so that the depth of the stack is the decoder's own. */
static ncd_model model;
static ncd_record record;
static ncd_tensor tensor;
static uint32_t tile_buffer[TILE_BYTES / 4];
static uint32_t workspace[WORKSPACE_BYTES / 4];

static cost decode_cost[KINDS], prepare_cost, check_cost, open_cost;
static uint32_t tensors, tiles, checksum; /* of those with a payload of their own */
static size_t table_bytes;

__attribute__((noreturn)) static void fail(const char *stage, uint32_t tile, ncd_status status)
{
    port_text("error=");
    port_text(stage);
    port_text("\n");
    port_print("error.tensor", record.index);
    port_print("error.tile", tile);
    port_print("error.status", status);
    port_exit(PORT_FAILED);
}

static void open_model(void)
{
    ncd_status status = ncd_model_open(&model, model_stream, (size_t)(model_stream_end - model_stream));

    if (status != NCD_OK) {
        fail("open", 0, status);
    }
    record.next = 0;
}

/* Opens the next tensor that has a payload of its own. 0 after the last. */
static int next_tensor(void)
{
    ncd_status status;

    do {
        status = ncd_record_next(&model, &record);
        if (status == NCD_ERR_ARG) {
            return 0;
        }
        if (status != NCD_OK) {
            fail("directory", 0, status);
        }
    } while (record.codec == NCD_CODEC_TIED);
    status = ncd_tensor_open(&model, record.index, &tensor);
    if (status != NCD_OK) {
        fail("tensor", 0, status);
    }
    return 1;
}

static int kind_of_tensor(void)
{
    if (tensor.codec == NCD_CODEC_RAW) {
        return RAW;
    }
    if (tensor.codec == NCD_CODEC_HUFFMAN) {
        return tensor.mode == LEVELS ? HUFFMAN_LEVELS : HUFFMAN_LOSSLESS;
    }
#if NCD_ENABLE_KMEANS
    if (tensor.codec == NCD_CODEC_KMEANS) {
        return KMEANS_FIXED + tensor.coding;
    }
#endif
    if (tensor.codec == NCD_CODEC_TRELLIS) {
        return TRELLIS;
    }
    if (tensor.codec == NCD_CODEC_AUTOENCODER) {
        return AUTOENCODER;
    }
#if NCD_ENABLE_REGRESSION
    if (tensor.codec == NCD_CODEC_REGRESSION) {
        return REGRESSION_ROWS + tensor.regressor;
    }
#endif
    return tensor.codec == NCD_CODEC_GENERATIVE ? GENERATIVE : OTHER;
}

/* Bytes of the workspace that a tensor gets. */
static size_t workspace_size(void)
{
    size_t least = ncd_tensor_least_workspace(&tensor);

    return least + (ncd_tensor_workspace(&tensor) - least) / 4u * WORKSPACE_SHARE / 100u * 4u;
}

static ncd_status prepare(void)
{
    size_t size = workspace_size();

    return size > sizeof workspace ? NCD_ERR_WORKSPACE : ncd_tensor_prepare(&tensor, workspace, size);
}

/* Bytes of the output for a weight. */
static uint32_t unit_size(void)
{
    return tensor.mode == BYTES ? tensor.elem_size : tensor.mode == WIDE ? 2u : 1u;
}

static ncd_status decode_tile(uint32_t tile)
{
#if NCD_ENABLE_KMEANS
    if (tensor.mode == INDICES) {
        return ncd_decode_tile_indices(&tensor, tile, (uint8_t *)tile_buffer, sizeof tile_buffer, workspace);
    }
#endif
#if NCD_HAS_COLUMNS
    if (tensor.mode == WIDE) {
        return ncd_decode_tile_i16(&tensor, tile, (int16_t *)tile_buffer, sizeof tile_buffer / 2u, workspace);
    }
#endif
    if (tensor.mode == LEVELS) {
        return ncd_decode_tile_i8(&tensor, tile, (int8_t *)tile_buffer, sizeof tile_buffer, workspace);
    }
    return ncd_decode_tile_bytes(&tensor, tile, (uint8_t *)tile_buffer, sizeof tile_buffer, workspace);
}

/* The deepest use of the stack by opening, preparing and decoding, below this function's caller. */
__attribute__((noinline)) static uint32_t measure_stack(void)
{
    uint32_t depth = port_stack_depth();
    uint32_t tile;
    ncd_status status;

    port_stack_paint();
    open_model();
    while (next_tensor()) {
        status = prepare();
        if (status != NCD_OK) {
            fail("prepare", 0, status);
        }
        for (tile = 0; tile < tensor.tiles; ++tile) {
            status = decode_tile(tile);
            if (status != NCD_OK) {
                fail("decode", tile, status);
            }
        }
    }
    return port_stack_peak() - depth;
}

static void add(cost *sum, uint32_t from, uint32_t to, uint64_t units)
{
    sum->instructions += port_instructions(from, to);
    sum->units += units;
}

/* Measures the crc32 in pieces that the counter holds; ncd_tensor_check in the end gives the verdict. */
static void check_payload(void)
{
    uint32_t crc = 0;
    size_t done, size;
    uint32_t from, to;
    ncd_status status;

    const size_t whole = (size_t)(tensor.end - tensor.payload);
    for (done = 0; done < whole; done += size) {
        size = whole - done < 8192u ? whole - done : 8192u;
        from = port_counter();
        crc = ncd_crc32(crc, tensor.payload + done, size);
        to = port_counter();
        add(&check_cost, from, to, size);
    }
    status = ncd_tensor_check(&tensor);
    if (status == NCD_OK && crc != tensor.payload_crc) {
        status = NCD_ERR_CHECKSUM;
    }
    if (status != NCD_OK) {
        fail("check", 0, status);
    }
}

static void prepare_tensor(void)
{
    size_t size = workspace_size();
    uint32_t from, to;
    ncd_status status;

    from = port_counter();
    status = prepare();
    to = port_counter();
    if (status != NCD_OK) {
        fail("prepare", 0, status);
    }
    if (size != 0) {
        add(&prepare_cost, from, to, 1);
    }
    if (size > table_bytes) {
        table_bytes = size;
    }
}

static void decode_tensor(void)
{
    int kind = kind_of_tensor();
    uint32_t tile, row, column, rows, columns, from, to, weights;
    ncd_status status;

    for (tile = 0; tile < tensor.tiles; ++tile) {
        from = port_counter();
        status = decode_tile(tile);
        to = port_counter();
        if (status == NCD_OK) {
            status = ncd_tile_place(&tensor, tile, &row, &column, &rows, &columns);
        }
        if (status != NCD_OK) {
            fail("decode", tile, status);
        }
        weights = rows * columns;
        add(&decode_cost[kind], from, to, weights);
        checksum = ncd_crc32(checksum, tile_buffer, (size_t)weights * unit_size());
    }
    tiles += tensor.tiles;
}

static void print_cost(const char *name, const char *unit, const char *per_unit, const cost *c)
{
    if (c->units == 0) {
        return;
    }
    port_text(name);
    port_print(unit, (int64_t)c->units);
    port_text(name);
    port_print(".instructions", (int64_t)c->instructions);
    port_text(name);
    port_print(per_unit, (int64_t)((c->instructions * 100u + c->units / 2u) / c->units));
}

int main(void)
{
    uint32_t from, to, stack;
    uint64_t weights = 0;
    int kind;

    from = port_counter();
    open_model();
    to = port_counter();
    add(&open_cost, from, to, 1);
    while (next_tensor()) {
        check_payload();
    }
    stack = measure_stack();
    open_model();
    while (next_tensor()) {
        prepare_tensor();
        decode_tensor();
        ++tensors;
    }

    for (kind = 0; kind < KINDS; ++kind) {
        weights += decode_cost[kind].units;
    }
    port_text("board=" BOARD_NAME "\n");
    port_print("stream_bytes", model_stream_end - model_stream);
    port_print("tensors", tensors);
    port_print("tied", model.n_tensors - tensors);
    port_print("tiles", tiles);
    port_print("weights", (int64_t)weights);
    port_print("crc32", checksum);
    for (kind = 0; kind < KINDS; ++kind) {
        print_cost(kind_names[kind], ".weights", ".per_weight_x100", &decode_cost[kind]);
    }
    print_cost("prepare", ".tensors", ".per_tensor_x100", &prepare_cost);
    print_cost("check", ".bytes", ".per_byte_x100", &check_cost);
    port_print("open.instructions", (int64_t)open_cost.instructions);
    port_print("stack_bytes", stack);
    port_print("table_bytes", (int64_t)table_bytes);
    port_print("model_struct_bytes", sizeof model);
    port_print("tensor_struct_bytes", sizeof tensor);
    port_print("tile_buffer_bytes", sizeof tile_buffer);
    port_print("decoder_code_bytes", _decoder_end - _decoder_start);
    return PORT_OK;
}
