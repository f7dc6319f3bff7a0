/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/conv_s8.c"
