/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/softmax_s8.c"
