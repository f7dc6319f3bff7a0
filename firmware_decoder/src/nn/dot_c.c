/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/dot_c.c"
