# The boards that QEMU emulates. This table is the one place that knows them: the Makefile includes it, emulator.py reads
# it line by line, so keep to `name.fact = value`, a fact a line, without make functions and continuation lines.
#
#   port           folder with start-up and counter: cortex_m or riscv
#   core, machine  what it is, and what QEMU calls it
#   flags          for the compiler
#   flash_*, ram_* where the linker may put things
#   shift          QEMU's -icount shift: an instruction takes 2^shift ns of the board's time
#   ticks, per     the counter of port.h advances by ticks/per an instruction: SysTick's clock in Hz * 2^shift / 10^9.
#                  shift = 8 makes that more than one tick an instruction, so that counts are exact.

boards = m0 m3 m4 m7 m33 m55 rv32

m0.port = cortex_m
m0.core = Cortex-M0
m0.machine = microbit
m0.flags = -mcpu=cortex-m0 -mthumb
m0.flash_origin = 0x00000000
m0.flash_size = 256K
m0.ram_origin = 0x20000000
m0.ram_size = 16K
m0.shift = 8
m0.ticks = 512
m0.per = 125

m3.port = cortex_m
m3.core = Cortex-M3
m3.machine = mps2-an385
m3.flags = -mcpu=cortex-m3 -mthumb
m3.flash_origin = 0x00000000
m3.flash_size = 4M
m3.ram_origin = 0x20000000
m3.ram_size = 4M
m3.shift = 8
m3.ticks = 32
m3.per = 5

m4.port = cortex_m
m4.core = Cortex-M4
m4.machine = mps2-an386
m4.flags = -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16
m4.flash_origin = 0x00000000
m4.flash_size = 4M
m4.ram_origin = 0x20000000
m4.ram_size = 4M
m4.shift = 8
m4.ticks = 32
m4.per = 5

m7.port = cortex_m
m7.core = Cortex-M7
m7.machine = mps2-an500
m7.flags = -mcpu=cortex-m7 -mthumb -mfloat-abi=hard -mfpu=fpv5-d16
m7.flash_origin = 0x00000000
m7.flash_size = 4M
m7.ram_origin = 0x20000000
m7.ram_size = 4M
m7.shift = 8
m7.ticks = 32
m7.per = 5

m33.port = cortex_m
m33.core = Cortex-M33
m33.machine = mps2-an505
m33.flags = -mcpu=cortex-m33 -mthumb -mfloat-abi=hard -mfpu=fpv5-sp-d16
m33.flash_origin = 0x10000000
m33.flash_size = 4M
m33.ram_origin = 0x38000000
m33.ram_size = 2M
m33.shift = 8
m33.ticks = 128
m33.per = 25

m55.port = cortex_m
m55.core = Cortex-M55
m55.machine = mps3-an547
m55.flags = -mcpu=cortex-m55 -mthumb -mfloat-abi=hard
m55.flash_origin = 0x00000000
m55.flash_size = 512K
m55.ram_origin = 0x20000000
m55.ram_size = 512K
m55.shift = 8
m55.ticks = 1024
m55.per = 125

# The virt machine has no flash that -kernel can fill: the first 4 MiB of its RAM stand in for it.
# minstret under -icount shift=0 counts instructions one by one.
rv32.port = riscv
rv32.core = RV32IMAC
rv32.machine = virt
rv32.flags = -march=rv32imac -mabi=ilp32 -mcmodel=medany
rv32.flash_origin = 0x80000000
rv32.flash_size = 4M
rv32.ram_origin = 0x80400000
rv32.ram_size = 4M
rv32.shift = 0
rv32.ticks = 1
rv32.per = 1

# Per port: the cross tools, a file of the C library to look for, and QEMU with its options.
cortex_m.cross = arm-none-eabi-
cortex_m.libc = libc_nano.a
cortex_m.specs = --specs=nano.specs
cortex_m.emulator = qemu-system-arm
cortex_m.options = -nographic -monitor none -serial null -semihosting-config enable=on,target=native

riscv.cross = riscv64-unknown-elf-
riscv.libc = picolibc.specs
riscv.specs = --specs=picolibc.specs
riscv.emulator = qemu-system-riscv32
riscv.options = -bios none -nographic -monitor none -serial null -semihosting-config enable=on,target=native
