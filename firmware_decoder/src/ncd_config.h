/* For Arduino; see packaging/forward.sh. */
#include "../include/ncd_config.h"
