/* What is compiled in. Override any of these with -D or by an ncd_config.h of your own earlier on the include path. */
#ifndef NCD_CONFIG_H
#define NCD_CONFIG_H

#include <stdint.h>

#ifndef NCD_ENABLE_HUFFMAN
#define NCD_ENABLE_HUFFMAN 1
#endif

/* Lossless mode of huffman: element bytes by planes. Without it such tensors are NCD_ERR_UNSUPPORTED. */
#ifndef NCD_ENABLE_LOSSLESS
#define NCD_ENABLE_LOSSLESS 1
#endif

/* ncd_row_scale and ncd_decode_tile_f32. The rest never touches floating point. */
#ifndef NCD_ENABLE_FLOAT
#define NCD_ENABLE_FLOAT 1
#endif

/* Bits of the Huffman look-up table: 8 takes 1 KB, 11 takes 8 KB and is what a host wants. 8 to 12. */
#ifndef NCD_HUFFMAN_LOOKUP_BITS
#define NCD_HUFFMAN_LOOKUP_BITS 8
#endif

/* Bytes of the widest element whose planes can be coded: 4 serves f32 and integers of 32 bits, 8 also f64 and i64. */
#ifndef NCD_MAX_PLANES
#define NCD_MAX_PLANES 8
#endif

/* Opening a model checks the order of the names. With this many levels of names (16 bytes of stack each) it does so in
 * one pass; with 0 it reads the directory again now and then, which is smaller, and slow only for thousands of
 * tensors. */
#ifndef NCD_NAME_LEVELS
#if UINTPTR_MAX > 0xFFFFFFFFu
#define NCD_NAME_LEVELS 16
#else
#define NCD_NAME_LEVELS 0
#endif
#endif

/* Workspace of one code table. A lossless tensor needs one for each coded plane, everything else one or none. */
#define NCD_HUFFMAN_WORKSPACE (4u + (4u << NCD_HUFFMAN_LOOKUP_BITS))

#endif
