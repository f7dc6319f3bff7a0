#include "layer.h"

void app_main(void)
{
    (void)layer_print();
}
