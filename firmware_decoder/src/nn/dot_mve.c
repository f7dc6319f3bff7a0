/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/dot_mve.c"
