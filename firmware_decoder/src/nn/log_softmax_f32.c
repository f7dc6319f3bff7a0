/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/log_softmax_f32.c"
