/* Decodes many streams that lie back to back in flash, each after its size in four bytes, little-endian, and prints for
 * each INDEX=CRC, the crc32 of all its tiles, or INDEX=STATUS, the ncd_status that stopped it and so below 0. */
#include "ncd.h"
#include "port.h"

#ifndef TILE_BYTES
#define TILE_BYTES 4096
#endif

extern const uint8_t model_stream[], model_stream_end[];

static uint32_t tile_buffer[TILE_BYTES / 4];
#ifndef WORKSPACE_BYTES
#define WORKSPACE_BYTES (NCD_MAX_PLANES * NCD_HUFFMAN_WORKSPACE)
#endif
static uint32_t workspace[WORKSPACE_BYTES / 4];
static ncd_model model;
static ncd_record record;
static ncd_tensor tensor;

static ncd_status decode_tensor(uint32_t *crc)
{
    const int levels = tensor.mode == 0, indices = tensor.mode == 2, wide = tensor.mode == 3;
    uint32_t tile, row, column, rows, columns;
    ncd_status status = ncd_tensor_prepare(&tensor, workspace, sizeof workspace);

    for (tile = 0; status == NCD_OK && tile < tensor.tiles; ++tile) {
        status = ncd_tile_place(&tensor, tile, &row, &column, &rows, &columns);
        if (status == NCD_OK) {
            status = levels    ? ncd_decode_tile_i8(&tensor, tile, (int8_t *)tile_buffer, sizeof tile_buffer, workspace)
                     : indices ? ncd_decode_tile_indices(&tensor, tile, (uint8_t *)tile_buffer, sizeof tile_buffer, workspace)
                     : wide ? ncd_decode_tile_i16(&tensor, tile, (int16_t *)tile_buffer, sizeof tile_buffer / 2u, workspace)
                               : ncd_decode_tile_bytes(&tensor, tile, (uint8_t *)tile_buffer, sizeof tile_buffer, workspace);
        }
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        if (status == NCD_OK && wide) {
            int16_t *const level = (int16_t *)tile_buffer;
            uint32_t i;

            for (i = 0; i < rows * columns; ++i) {
                level[i] = (int16_t)((uint16_t)level[i] << 8 | (uint16_t)level[i] >> 8);
            }
        }
#endif
        if (status == NCD_OK) {
            *crc = ncd_crc32(*crc, tile_buffer, (size_t)rows * columns * (levels || indices ? 1u : wide ? 2u : tensor.elem_size));
        }
    }
    return status;
}

/* Errors in the order of docs/format.md, section 8: a payload's crc32 before its header. */
static ncd_status decode_stream(const uint8_t *stream, size_t size, uint32_t *crc)
{
    uint32_t i;
    ncd_status status = ncd_model_open(&model, stream, size);

    record.next = 0;
    for (i = 0; status == NCD_OK && i < model.n_tensors; ++i) {
        status = ncd_record_next(&model, &record);
        if (status != NCD_OK || record.codec == NCD_CODEC_TIED) {
            continue;
        }
        if (ncd_crc32(0, stream + record.payload_offset, record.payload_size) != record.payload_crc) {
            return NCD_ERR_CHECKSUM;
        }
        status = ncd_tensor_bind(&model, &record, stream + record.payload_offset, &tensor);
        if (status == NCD_OK) {
            status = ncd_tensor_check(&tensor); /* that of a shared table, too */
        }
        if (status == NCD_OK) {
            status = decode_tensor(crc);
        }
    }
    return status;
}

int main(void)
{
    const uint8_t *p = model_stream;
    int64_t index;
    size_t size;
    uint32_t crc;
    ncd_status status;

    for (index = 0; p < model_stream_end; ++index) {
        size = p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
        p += 4;
        crc = 0;
        status = decode_stream(p, size, &crc);
        p += size;
        port_number(index);
        port_print("", status == NCD_OK ? (int64_t)crc : (int64_t)status);
    }
    return PORT_OK;
}
