/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/concat_s8.c"
