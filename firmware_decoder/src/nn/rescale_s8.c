/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/rescale_s8.c"
