/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/conv_f32.c"
