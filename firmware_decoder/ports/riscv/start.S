/* Start-up of a 32-bit RISC-V in machine mode. */
        .option arch, +zicsr
        .section .start, "ax"
        .globl  port_start
port_start:
        la      t0, trap
        csrw    mtvec, t0
        la      sp, _stack_top

        la      a0, _data_start
        la      a1, _data_end
        la      a2, _data_source
1:      bgeu    a0, a1, 2f
        lw      a3, 0(a2)
        sw      a3, 0(a0)
        addi    a0, a0, 4
        addi    a2, a2, 4
        j       1b

2:      la      a0, _bss_start
        la      a1, _bss_end
3:      bgeu    a0, a1, 4f
        sw      zero, 0(a0)
        addi    a0, a0, 4
        j       3b

4:      call    port_init
        call    main
        call    port_exit

        .balign 4                       /* mtvec's lowest bits are its mode */
trap:   la      sp, _stack_top          /* the stack may be what broke */
        call    port_fault

/* The three instructions that mark a semihosting call: uncompressed, and within one page. */
        .text
        .option norvc
        .globl  port_semihost
        .balign 16
port_semihost:
        slli    x0, x0, 0x1f
        ebreak
        srai    x0, x0, 7
        ret
