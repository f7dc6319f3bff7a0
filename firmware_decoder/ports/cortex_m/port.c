/* Semihosting and SysTick of Cortex-M. */
#include "../port.h"

#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)

int port_semihost(int operation, const void *argument)
{
    register int r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;

    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

uint32_t *port_stack_pointer(void)
{
    uint32_t *sp;

    __asm volatile("mov %0, sp" : "=r"(sp));
    return sp;
}

void port_counter_start(void)
{
    SYST_RVR = 0xFFFFFFu;
    SYST_CVR = 0;
    SYST_CSR = 5u; /* on, processor clock, no interrupt: it would use the stack that is measured */
}

uint32_t port_counter(void)
{
    return 0xFFFFFFu - SYST_CVR; /* SysTick counts down */
}
