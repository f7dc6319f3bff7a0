/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/activation_q15.c"
