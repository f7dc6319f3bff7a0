#include "layer.h"

int main(void)
{
    return layer_print();
}
