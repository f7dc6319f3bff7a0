/* The layer that all packaging examples run: y = W x, W compressed in fc.c. */
#ifndef LAYER_H
#define LAYER_H

#include <ncd.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LAYER_ROWS = 12, LAYER_COLUMNS = 40 };

/* y: the levels of W times x; the layer's output is y[row] * ncd_row_scale(...) * (the scale of x). */
ncd_status layer_run(const int8_t x[LAYER_COLUMNS], int32_t y[LAYER_ROWS]);

/* The input that the examples give it. */
void layer_example(int8_t x[LAYER_COLUMNS]);

/* Prints y, or the error: packaging/layer_print.c, where there is printf. 0 if all went well. */
int layer_print(void);

#ifdef __cplusplus
}
#endif
#endif
