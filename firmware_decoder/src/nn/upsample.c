/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/upsample.c"
