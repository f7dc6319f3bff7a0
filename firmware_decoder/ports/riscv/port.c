/* The counter and faults of RISC-V. port_semihost is in start.S. */
#include "../port.h"

void port_fault(void);

void port_fault(void)
{
    port_text("error=fault\n");
    port_exit(PORT_FAULT);
}

uint32_t *port_stack_pointer(void)
{
    uint32_t *sp;

    __asm volatile("mv %0, sp" : "=r"(sp));
    return sp;
}

void port_counter_start(void)
{
    /* minstret runs from reset. */
}

uint32_t port_counter(void)
{
    uint32_t count;

    /* Named here and not in -march, because the C library is not built for rv32imac_zicsr. */
    __asm volatile(".option push\n .option arch, +zicsr\n csrr %0, minstret\n .option pop" : "=r"(count));
    return count;
}
