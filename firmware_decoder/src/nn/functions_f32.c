/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/functions_f32.c"
