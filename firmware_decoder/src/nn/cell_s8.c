/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/cell_s8.c"
