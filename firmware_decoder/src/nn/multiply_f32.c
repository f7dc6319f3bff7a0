/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/multiply_f32.c"
