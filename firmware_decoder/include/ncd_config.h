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

/* Codec kmeans: codebooks and indices of fixed width or with rANS; with prefix codes where huffman is compiled in. */
#ifndef NCD_ENABLE_KMEANS
#define NCD_ENABLE_KMEANS 1
#endif

/* Codec trellis: levels of a trellis quantizer, with rANS or prefix codes. */
#ifndef NCD_ENABLE_TRELLIS
#define NCD_ENABLE_TRELLIS 1
#endif

/* Codec regression: weights that are inferred from stored ones. What it nests (levels of the codecs above) must be compiled
 * in as well; levels of 16 bits want codec trellis. */
#ifndef NCD_ENABLE_REGRESSION
#define NCD_ENABLE_REGRESSION 1
#endif

/* Codec generative: a model that learns as it decodes. It takes 76 KB of constants and 250 KB of RAM, which hosts and the
 * largest microcontrollers have. */
#ifndef NCD_ENABLE_GENERATIVE
#if UINTPTR_MAX > 0xFFFFFFFFu
#define NCD_ENABLE_GENERATIVE 1
#else
#define NCD_ENABLE_GENERATIVE 0
#endif
#endif

/* Codec autoencoder: predicted levels and a learned prior. Its universal models take some KB of flash. */
#ifndef NCD_ENABLE_AUTOENCODER
#define NCD_ENABLE_AUTOENCODER 1
#endif

/* What of codec trellis: tables picked by contexts, and levels of 16 bits; tables of 2^8 slots picked by an automaton (coding
 * "light"); one such table a quantizer (coding "rans"); prefix codes. Contexts decode what "rans" encodes as well, but not as
 * fast. What is left out is NCD_ERR_UNSUPPORTED. */
#ifndef NCD_TRELLIS_CONTEXTS
#define NCD_TRELLIS_CONTEXTS 1
#endif
#ifndef NCD_TRELLIS_LIGHT
#define NCD_TRELLIS_LIGHT 1
#endif
#ifndef NCD_TRELLIS_RANS
#define NCD_TRELLIS_RANS 1
#endif
#ifndef NCD_TRELLIS_PREFIX
#define NCD_TRELLIS_PREFIX 1
#endif

/* Whether rows, or columns, whose levels are all 0 may be left out of tiles: some 270 bytes. */
#ifndef NCD_TRELLIS_SKIP
#define NCD_TRELLIS_SKIP 1
#endif
/* Levels of 16 bits, which the encoder does without with levels="int8". */
#ifndef NCD_TRELLIS_WIDE
#define NCD_TRELLIS_WIDE 1
#endif
/* Prefix codes of more than 16 states, whose tables take 1 KB a quantizer; those of fewer take 512 bytes. */
#ifndef NCD_TRELLIS_WIDE_CODES
#define NCD_TRELLIS_WIDE_CODES 1
#endif

/* Whether tables of codec trellis are best read byte by byte: where few instructions take bits out of a word. Tables of coding
 * "light" are laid out accordingly. They are written as words, so that this is for little-endian machines. */
#ifndef NCD_TRELLIS_BYTE_LOADS
#if (defined(__riscv) || (defined(__thumb__) && !defined(__thumb2__))) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NCD_TRELLIS_BYTE_LOADS 1
#else
#define NCD_TRELLIS_BYTE_LOADS 0
#endif
#endif

/* Bits of a slot by which a symbol of codec trellis is looked up; the rest is searched. A table takes 16 bytes with 4
 * bits and 256 with 8, which a host wants. 4 to 8. */
#ifndef NCD_TRELLIS_INDEX_LOG2
#define NCD_TRELLIS_INDEX_LOG2 4
#endif

/* 4: ncd_decode_tiles_i8 and ncd_decode_tiles_i16, which is there then, decode four tiles of codec trellis at a time, so that a
 * wide processor waits for none of them; on x86-64 with AVX2, which is found out at run time, up to sixteen with contexts.
 * Workspaces of tensors of five tiles and more take some 20 KB more there. 1: one after the other. */
#ifndef NCD_TRELLIS_LANES
#define NCD_TRELLIS_LANES 1
#endif

/* 1: tensors of codec trellis come from `neuralcodec export-c --prepared`, opened and with their tables, as constants. Decoding
 * takes no workspace then, and next to no stack; those of a stream are NCD_ERR_UNSUPPORTED. */
#ifndef NCD_TRELLIS_PREPARED
#define NCD_TRELLIS_PREPARED 0
#endif
#if NCD_TRELLIS_PREPARED && NCD_TRELLIS_LANES > 1
#error "NCD_TRELLIS_PREPARED is for firmware: it decodes one tile at a time"
#endif

/* ncd_row_scale and ncd_decode_tile_f32. The rest never touches floating point. */
#ifndef NCD_ENABLE_FLOAT
#define NCD_ENABLE_FLOAT 1
#endif

/* Bits of the Huffman look-up table: 8 takes 1 KB, 11 takes 8 KB and is what a host wants. 8 to 12. */
#ifndef NCD_HUFFMAN_LOOKUP_BITS
#define NCD_HUFFMAN_LOOKUP_BITS 8
#endif

/* 1: indices of codec kmeans are looked up with MVE (Cortex-M55, M85), those of 4 bits sixteen at a time and others eight,
 * where the compiler's target has it. */
#ifndef NCD_MVE
#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
#define NCD_MVE 1
#else
#define NCD_MVE 0
#endif
#endif

/* Bytes of the widest element whose planes can be coded: 4 serves f32 and integers of 32 bits, 8 also f64 and i64. */
#ifndef NCD_MAX_PLANES
#define NCD_MAX_PLANES 8
#endif

/* 1: opening a model checks every rule of its directory, and tells null pointers. 0: what a microcontroller wants. The
 * checksum still vouches for the directory and all accesses stay bounds-checked, but rules that only a faulty encoder
 * breaks (names out of order, a symbol listed twice, data too short for their codes, ...) go unnoticed until a tile
 * fails. */
#ifndef NCD_FULL_CHECK
#if UINTPTR_MAX > 0xFFFFFFFFu
#define NCD_FULL_CHECK 1
#else
#define NCD_FULL_CHECK 0
#endif
#endif

/* 1: checksums take 64 bytes of constants and about half the time. */
#ifndef NCD_CRC_TABLE
#define NCD_CRC_TABLE NCD_FULL_CHECK
#endif

/* Workspace of a frequency table of 2^m slots. */
#define NCD_RANS_WORKSPACE(m) (4u + (4u << (m)))

/* Workspace of one code table. A lossless tensor needs one for each coded plane, everything else one or none. */
#define NCD_HUFFMAN_WORKSPACE (4u + (4u << NCD_HUFFMAN_LOOKUP_BITS))

#endif
