/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/depthwise_3x3.c"
