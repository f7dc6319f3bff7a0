/* fc: a neuralcodec model stream for ncd_model_open() of ncd.h. Generated; do not edit. */
#ifndef NCD_FC_h
#define NCD_FC_h

#include <stdint.h>

#define FC_SIZE 348u /* bytes of the stream */
#define FC_TILE 120u /* weights in the largest tile of levels, or of indices or floats of codec kmeans */
#define FC_WIDE 0u /* 1 if levels of some tensors have 16 bits: ncd_decode_tile_i16() gives all levels */
#define FC_TILE_BYTES 48u /* bytes in the largest tile that ncd_decode_tile_bytes() gives */
#define FC_TABLES 1u /* look-up tables at a time, of NCD_HUFFMAN_WORKSPACE bytes each */
/* Bytes that ncd_tensor_prepare() takes at most; with NCD_TRELLIS_INDEX_LOG2, NCD_TRELLIS_LANES and
 * NCD_HUFFMAN_LOOKUP_BITS as they are by default: else ncd_tensor_workspace() tells. */
#define FC_WORKSPACE (FC_TABLES * NCD_HUFFMAN_WORKSPACE > 4u ? FC_TABLES * NCD_HUFFMAN_WORKSPACE : 4u)

/* Indices for ncd_tensor_open(). */
#define FC_FC_BIAS 0u /* fc.bias: f32 12 */
#define FC_FC_WEIGHT 1u /* fc.weight: f32 12x40 */

#ifdef __cplusplus
extern "C" {
#endif

extern const uint8_t fc[FC_SIZE];

#ifdef __cplusplus
}
#endif

#endif /* NCD_FC_h */
