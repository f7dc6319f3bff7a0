/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/conv_patch.c"
