/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/multiply_s8.c"
