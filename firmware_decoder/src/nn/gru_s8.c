/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/gru_s8.c"
