/* For Arduino; see packaging/forward.sh. */
#include "../include/ncd.h"
