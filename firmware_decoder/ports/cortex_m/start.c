/* Start-up of any Cortex-M, without CMSIS: vector table, memory, coprocessors. */
#include "port.h"

extern uint32_t _data_source[], _data_start[], _data_end[], _bss_start[], _bss_end[], _stack_top[];

void port_start(void);

static void fault(void)
{
    port_text("error=fault\n");
    port_exit(PORT_FAULT);
}

typedef union vector {
    uint32_t *stack;
    void (*handler)(void);
} vector;

/* Every fault ends the run with PORT_FAULT: a hang would look like a slow decoder. */
__attribute__((section(".start"), used)) static const vector vectors[16] = {
    {.stack = _stack_top},  {.handler = port_start}, {.handler = fault}, {.handler = fault},
    {.handler = fault},     {.handler = fault},      {.handler = fault}, {.handler = fault},
    {.handler = 0},         {.handler = 0},          {.handler = 0},     {.handler = fault},
    {.handler = fault},     {.handler = 0},          {.handler = fault}, {.handler = fault},
};

__attribute__((noreturn)) void port_start(void)
{
    const uint32_t *source = _data_source;
    uint32_t *p;

#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    /* CPACR: coprocessors 10 and 11, the floating-point unit and MVE. Before any code that the compiler vectorizes. */
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20;
    __asm volatile("dsb\n isb" ::: "memory");
#endif
    for (p = _data_start; p < _data_end;) {
        *p++ = *source++;
    }
    for (p = _bss_start; p < _bss_end;) {
        *p++ = 0;
    }
    port_init();
    port_exit(main());
}
