/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/rows.c"
