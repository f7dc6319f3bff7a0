/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/depthwise_s8.c"
