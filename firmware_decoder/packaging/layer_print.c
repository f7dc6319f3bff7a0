/* Prints y = W x of the compressed layer: all that the examples for CMake, Zephyr and ESP-IDF do. */
#include <stdio.h>

#include "layer.h"

int layer_print(void)
{
    static int8_t x[LAYER_COLUMNS];
    static int32_t y[LAYER_ROWS];
    ncd_status status;
    int row;

    layer_example(x);
    status = layer_run(x, y);
    if (status != NCD_OK) {
        printf("error=%d\n", (int)status);
        return 1;
    }
    for (row = 0; row < LAYER_ROWS; ++row) {
        printf("%s%ld", row == 0 ? "y=" : " ", (long)y[row]);
    }
    printf("\n");
    return 0;
}
