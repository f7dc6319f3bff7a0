/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/average_pool_s8.c"
