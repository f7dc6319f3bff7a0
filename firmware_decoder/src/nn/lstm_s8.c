/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/lstm_s8.c"
