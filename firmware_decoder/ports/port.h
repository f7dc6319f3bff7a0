/* What an example needs from the board it runs on: text out, an exit code, a count of instructions, the stack's depth.
 * Output and exit go through semihosting, so they work in QEMU and under a debugger. */
#ifndef PORT_H
#define PORT_H

#include <stdint.h>

/* Exit codes. */
enum { PORT_OK = 0, PORT_FAILED = 1, PORT_FAULT = 99 };

int main(void);

/* Called by the start-up code, before main: starts the counter. */
void port_init(void);
__attribute__((noreturn)) void port_exit(int code);

void port_text(const char *text);
void port_number(int64_t value);
void port_print(const char *key, int64_t value); /* key=value and a line end */

/* The counter, in ticks of the board; 24 bits of it count. */
uint32_t port_counter(void);

/* Instructions retired between two readings, without those of the reading itself; the caller's passing of arguments
 * and results counts. Right up to 2^24 ticks, which is 2 million instructions on the fastest clock: measure piece by
 * piece. Instructions are not cycles. */
uint32_t port_instructions(uint32_t from, uint32_t to);

/* The part of a port that differs by architecture. */
int port_semihost(int operation, const void *argument);
uint32_t *port_stack_pointer(void);
void port_counter_start(void);

/* From the linker script: the stack grows down from _stack_top, at most to _stack_limit. */
extern uint32_t _stack_top[], _stack_limit[];

/* Bytes of stack in use at the call. Inline, so as not to count a frame of its own. */
static inline uint32_t port_stack_depth(void)
{
    return (uint32_t)((uintptr_t)_stack_top - (uintptr_t)port_stack_pointer());
}

/* Paints the free stack; afterwards port_stack_peak tells the deepest use since, in bytes from the stack's start. */
void port_stack_paint(void);
uint32_t port_stack_peak(void);

#endif
