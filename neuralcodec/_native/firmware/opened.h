/* Opened tensors as firmware has them: fields of ncd_tensor, and the tables of codec trellis. */
#ifndef NCD_OPENED_H
#define NCD_OPENED_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Fields of ncd_tensor that are numbers, and those that are places in the stream. */
#define NCD_OPENED_NUMBERS(X)                                                                                      \
    X(codec) X(dtype) X(elem_size) X(mode) X(tile_rows) X(tile_cols) X(tile_size) X(size_width) X(scale_width)     \
    X(rows) X(cols) X(tiles) X(payload_crc) X(per_row) X(size_min) X(step_bits) X(group_rows) X(centroids)         \
    X(centroid_type) X(coding) X(is_constant) X(constant) X(columns) X(column_scale_width) X(zeros) X(rows_log2)
#define NCD_OPENED_PLACES(X) X(payload) X(end) X(index) X(data) X(scales) X(book) X(map) X(column_scales) X(coded_rows)

enum { NCD_OPENED_TABLES = 8 };

typedef struct ncd_opened {
#define NCD_OPENED_FIELD(name) uint32_t name;
    NCD_OPENED_NUMBERS(NCD_OPENED_FIELD)
#undef NCD_OPENED_FIELD
    /* from the start of the stream; -1: null */
#define NCD_OPENED_FIELD(name) int64_t name;
    NCD_OPENED_PLACES(NCD_OPENED_FIELD)
#undef NCD_OPENED_FIELD
    int64_t tables[NCD_OPENED_TABLES];
    uint32_t workspace; /* bytes */
    uint32_t kind;      /* of the workspace, of codec trellis: NCD_TRELLIS_SEARCH and so on, of trellis.h */
} ncd_opened;

/* Opens tensor `index` of a stream. 0, or an ncd_status. */
int ncd_opened_firmware_0(const uint8_t *blob, size_t size, uint32_t index, ncd_opened *out);
int ncd_opened_firmware_1(const uint8_t *blob, size_t size, uint32_t index, ncd_opened *out);

/* Its workspace, of so many bytes, but for the first word, which is 0. */
int ncd_workspace_firmware_0(const uint8_t *blob, size_t size, uint32_t index, uint32_t *workspace, size_t room);
int ncd_workspace_firmware_1(const uint8_t *blob, size_t size, uint32_t index, uint32_t *workspace, size_t room);

#ifdef __cplusplus
}
#endif
#endif
