/* Measures what is known: a loop of two instructions a turn, and a recursion of known depth. */
#include "port.h"

void turn(uint32_t turns);
uint32_t dive(uint32_t depth);

__attribute__((noinline)) void turn(uint32_t turns)
{
#ifdef __riscv
    __asm__ volatile("1: addi %0, %0, -1\n bnez %0, 1b" : "+r"(turns));
#else
    __asm__ volatile(".syntax unified\n1: subs %0, #1\n bne 1b" : "+l"(turns) : : "cc");
#endif
}

__attribute__((noinline)) uint32_t dive(uint32_t depth)
{
    volatile uint32_t array[10];

    array[0] = depth;
    array[9] = depth == 1 ? 1 : dive(depth - 1);
    return array[0] + array[9];
}

int main(void)
{
    static const struct {
        const char *key;
        uint32_t turns;
    } loops[] = {{"turns.1", 1}, {"turns.2", 2}, {"turns.10", 10}, {"turns.1000", 1000}, {"turns.100000", 100000}};
    uint32_t i, from, to;

    from = port_counter();
    to = port_counter();
    port_print("nothing", port_instructions(from, to));
    for (i = 0; i < sizeof loops / sizeof loops[0]; ++i) {
        from = port_counter();
        turn(loops[i].turns);
        to = port_counter();
        port_print(loops[i].key, port_instructions(from, to));
    }
    port_stack_paint();
    port_print("stack.untouched", port_stack_peak() - port_stack_depth());
    port_stack_paint();
    (void)dive(10);
    port_print("stack", port_stack_peak() - port_stack_depth());
    return PORT_OK;
}
