/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/mul_s8.c"
