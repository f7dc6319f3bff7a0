/* Starts QEMU's machine "virt" with a Cortex-A15 whose loads and stores are big-endian. */
        .syntax unified
        .arm
        .section .start, "ax"
        .globl  _start
_start:
        setend  be
        ldr     sp, =_stack_top
        bl      main
        b       port_exit

/* To a power state of the firmware that QEMU stands in for: off. */
        .globl  port_off
        .type   port_off, %function
port_off:
        ldr     r0, =0x84000008
        .inst   0xe1400070      @ hvc #0, which assemblers know for newer cores only
        b       port_off
