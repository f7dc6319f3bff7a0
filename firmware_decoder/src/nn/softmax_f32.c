/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/softmax_f32.c"
