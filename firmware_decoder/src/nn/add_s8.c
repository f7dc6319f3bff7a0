/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/add_s8.c"
