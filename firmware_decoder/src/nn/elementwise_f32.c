/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/elementwise_f32.c"
