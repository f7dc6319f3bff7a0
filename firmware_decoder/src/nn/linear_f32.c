/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/linear_f32.c"
