/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/requantize.c"
