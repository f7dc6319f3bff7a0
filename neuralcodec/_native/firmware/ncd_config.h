/* The decoder as firmware has it, for the tables that `export-c --prepared` writes: found before the decoder's own file of this
 * name. NCD_FIRMWARE, 0 or 1, is what NCD_TRELLIS_BYTE_LOADS is there; the extension holds both beside the host's decoder, so
 * that every function needs a name of its own. */
#ifndef NCD_FIRMWARE_CONFIG_H
#define NCD_FIRMWARE_CONFIG_H

#define NCD_ENABLE_AUTOENCODER 0
#define NCD_ENABLE_GENERATIVE 0
#define NCD_ENABLE_REGRESSION 0
#define NCD_FULL_CHECK 1
#define NCD_TRELLIS_BYTE_LOADS NCD_FIRMWARE

#define NCD_FIRMWARE_JOIN(name, n) name##_firmware_##n
#define NCD_FIRMWARE_CALL(name, n) NCD_FIRMWARE_JOIN(name, n)
#define NCD_FIRMWARE_NAME(name) NCD_FIRMWARE_CALL(name, NCD_FIRMWARE)
#define ncd_check_codec_name NCD_FIRMWARE_NAME(ncd_check_codec_name)
#define ncd_check_name NCD_FIRMWARE_NAME(ncd_check_name)
#define ncd_check_ties NCD_FIRMWARE_NAME(ncd_check_ties)
#define ncd_codebook NCD_FIRMWARE_NAME(ncd_codebook)
#define ncd_column_scale NCD_FIRMWARE_NAME(ncd_column_scale)
#define ncd_crc32 NCD_FIRMWARE_NAME(ncd_crc32)
#define ncd_decode_tile_bytes NCD_FIRMWARE_NAME(ncd_decode_tile_bytes)
#define ncd_decode_tile_f32 NCD_FIRMWARE_NAME(ncd_decode_tile_f32)
#define ncd_decode_tile_i16 NCD_FIRMWARE_NAME(ncd_decode_tile_i16)
#define ncd_decode_tile_i8 NCD_FIRMWARE_NAME(ncd_decode_tile_i8)
#define ncd_decode_tile_indices NCD_FIRMWARE_NAME(ncd_decode_tile_indices)
#define ncd_decode_tiles_i8 NCD_FIRMWARE_NAME(ncd_decode_tiles_i8)
#define ncd_frequencies_read NCD_FIRMWARE_NAME(ncd_frequencies_read)
#define ncd_frequency_next NCD_FIRMWARE_NAME(ncd_frequency_next)
#define ncd_huffman_bind NCD_FIRMWARE_NAME(ncd_huffman_bind)
#define ncd_huffman_levels NCD_FIRMWARE_NAME(ncd_huffman_levels)
#define ncd_huffman_lossless NCD_FIRMWARE_NAME(ncd_huffman_lossless)
#define ncd_huffman_symbols NCD_FIRMWARE_NAME(ncd_huffman_symbols)
#define ncd_kmeans_bind NCD_FIRMWARE_NAME(ncd_kmeans_bind)
#define ncd_kmeans_prepare NCD_FIRMWARE_NAME(ncd_kmeans_prepare)
#define ncd_kmeans_tile NCD_FIRMWARE_NAME(ncd_kmeans_tile)
#define ncd_kmeans_workspace NCD_FIRMWARE_NAME(ncd_kmeans_workspace)
#define ncd_model_open NCD_FIRMWARE_NAME(ncd_model_open)
#define ncd_model_open_header NCD_FIRMWARE_NAME(ncd_model_open_header)
#define ncd_model_shared NCD_FIRMWARE_NAME(ncd_model_shared)
#define ncd_model_table NCD_FIRMWARE_NAME(ncd_model_table)
#define ncd_rans_build NCD_FIRMWARE_NAME(ncd_rans_build)
#define ncd_rans_decode NCD_FIRMWARE_NAME(ncd_rans_decode)
#define ncd_raw_bind NCD_FIRMWARE_NAME(ncd_raw_bind)
#define ncd_raw_bytes NCD_FIRMWARE_NAME(ncd_raw_bytes)
#define ncd_record_next NCD_FIRMWARE_NAME(ncd_record_next)
#define ncd_record_read NCD_FIRMWARE_NAME(ncd_record_read)
#define ncd_record_rewind NCD_FIRMWARE_NAME(ncd_record_rewind)
#define ncd_record_seek NCD_FIRMWARE_NAME(ncd_record_seek)
#define ncd_row_scale NCD_FIRMWARE_NAME(ncd_row_scale)
#define ncd_table_build NCD_FIRMWARE_NAME(ncd_table_build)
#define ncd_table_entry NCD_FIRMWARE_NAME(ncd_table_entry)
#define ncd_table_map NCD_FIRMWARE_NAME(ncd_table_map)
#define ncd_table_read NCD_FIRMWARE_NAME(ncd_table_read)
#define ncd_table_symbols NCD_FIRMWARE_NAME(ncd_table_symbols)
#define ncd_table_walk NCD_FIRMWARE_NAME(ncd_table_walk)
#define ncd_tensor_bind NCD_FIRMWARE_NAME(ncd_tensor_bind)
#define ncd_tensor_check NCD_FIRMWARE_NAME(ncd_tensor_check)
#define ncd_tensor_find NCD_FIRMWARE_NAME(ncd_tensor_find)
#define ncd_tensor_least_workspace NCD_FIRMWARE_NAME(ncd_tensor_least_workspace)
#define ncd_tensor_open NCD_FIRMWARE_NAME(ncd_tensor_open)
#define ncd_tensor_prepare NCD_FIRMWARE_NAME(ncd_tensor_prepare)
#define ncd_tensor_prepare_indices NCD_FIRMWARE_NAME(ncd_tensor_prepare_indices)
#define ncd_tensor_read NCD_FIRMWARE_NAME(ncd_tensor_read)
#define ncd_tensor_read_levels NCD_FIRMWARE_NAME(ncd_tensor_read_levels)
#define ncd_tensor_set NCD_FIRMWARE_NAME(ncd_tensor_set)
#define ncd_tensor_workspace NCD_FIRMWARE_NAME(ncd_tensor_workspace)
#define ncd_tile_place NCD_FIRMWARE_NAME(ncd_tile_place)
#define ncd_tiles_cut NCD_FIRMWARE_NAME(ncd_tiles_cut)
#define ncd_tiles_extent NCD_FIRMWARE_NAME(ncd_tiles_extent)
#define ncd_tiles_read_index NCD_FIRMWARE_NAME(ncd_tiles_read_index)
#define ncd_trellis_bind NCD_FIRMWARE_NAME(ncd_trellis_bind)
#define ncd_trellis_model_kind NCD_FIRMWARE_NAME(ncd_trellis_model_kind)
#define ncd_trellis_model_read NCD_FIRMWARE_NAME(ncd_trellis_model_read)
#define ncd_trellis_model_size NCD_FIRMWARE_NAME(ncd_trellis_model_size)
#define ncd_trellis_prepare NCD_FIRMWARE_NAME(ncd_trellis_prepare)
#define ncd_trellis_tile NCD_FIRMWARE_NAME(ncd_trellis_tile)

#include "../../../firmware_decoder/include/ncd_config.h"

#endif
