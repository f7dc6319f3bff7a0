/* Runs into an instruction that no core has. */
#include "port.h"

int main(void)
{
    port_print("before", 1);
#ifdef __riscv
    __asm__ volatile("unimp");
#else
    __asm__ volatile("udf #0");
#endif
    port_print("after", 1);
    return PORT_OK;
}
