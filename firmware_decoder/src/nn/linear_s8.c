/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/linear_s8.c"
