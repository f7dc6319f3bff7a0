/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/table_s8.c"
