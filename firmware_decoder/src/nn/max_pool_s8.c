/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/max_pool_s8.c"
