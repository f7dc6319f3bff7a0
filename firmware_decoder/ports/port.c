/* The part of port.h that is the same on every architecture. */
#include "port.h"

/* Ticks of the counter an instruction, from boards.mk. */
#ifndef PORT_TICKS
#define PORT_TICKS 1
#define PORT_PER 1
#endif

enum { SYS_WRITE0 = 0x04, SYS_EXIT_EXTENDED = 0x20 };
#define ADP_STOPPED_APPLICATION_EXIT 0x20026u
#define PAINT 0xA5A5A5A5u

static uint32_t reading_cost; /* instructions between two readings with nothing between them */

/* A reading truncates to whole ticks; rounding takes that back, because an instruction is at least one tick. */
static uint32_t instructions(uint32_t ticks)
{
    return (uint32_t)(((uint64_t)(ticks & 0xFFFFFFu) * PORT_PER + PORT_TICKS / 2u) / PORT_TICKS);
}

void port_init(void)
{
    uint32_t from;

    port_counter_start();
    from = port_counter();
    reading_cost = instructions(port_counter() - from);
}

void port_exit(int code)
{
    uint32_t block[2];

    block[0] = ADP_STOPPED_APPLICATION_EXIT;
    block[1] = (uint32_t)code;
    for (;;) {
        (void)port_semihost(SYS_EXIT_EXTENDED, block);
    }
}

void port_text(const char *text)
{
    (void)port_semihost(SYS_WRITE0, text);
}

void port_number(int64_t value)
{
    char digits[24];
    char *p = digits + sizeof digits - 1;
    uint64_t rest = value < 0 ? 0u - (uint64_t)value : (uint64_t)value;

    *p = '\0';
    do {
        *--p = (char)('0' + rest % 10u);
        rest /= 10u;
    } while (rest != 0);
    if (value < 0) {
        *--p = '-';
    }
    port_text(p);
}

void port_print(const char *key, int64_t value)
{
    port_text(key);
    port_text("=");
    port_number(value);
    port_text("\n");
}

uint32_t port_instructions(uint32_t from, uint32_t to)
{
    uint32_t count = instructions(to - from);

    return count > reading_cost ? count - reading_cost : 0;
}

void port_stack_paint(void)
{
    /* All below the stack pointer is free. Volatile, lest the loop becomes a call of memset, with a frame in that space. */
    volatile uint32_t *end = port_stack_pointer();
    volatile uint32_t *p;

    for (p = _stack_limit; p < end; ++p) {
        *p = PAINT;
    }
}

uint32_t port_stack_peak(void)
{
    const volatile uint32_t *p = _stack_limit;

    while ((uintptr_t)p < (uintptr_t)_stack_top && *p == PAINT) {
        ++p;
    }
    return (uint32_t)((uintptr_t)_stack_top - (uintptr_t)p);
}
