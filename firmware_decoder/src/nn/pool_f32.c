/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/pool_f32.c"
