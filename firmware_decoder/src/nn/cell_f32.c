/* For Arduino; see packaging/forward.sh. */
#include "../../nn/src/cell_f32.c"
