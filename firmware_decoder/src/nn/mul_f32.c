/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/mul_f32.c"
