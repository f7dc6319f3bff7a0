/* For Arduino; see packaging/forward.sh. */
#include "../nn/include/ncd_nn.h"
