/* What the probe needs of ports/port.h: text to the serial line, and an end. */
#include "port.h"

#include <stddef.h>

void port_off(void);
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);

void *memcpy(void *to, const void *from, size_t n)
{
    volatile char *o = to;
    const char *i = from;

    while (n-- > 0) {
        *o++ = *i++;
    }
    return to;
}

void *memset(void *to, int byte, size_t n)
{
    volatile char *o = to;

    while (n-- > 0) {
        *o++ = (char)byte;
    }
    return to;
}

void port_text(const char *text)
{
    while (*text) {
        *(volatile uint8_t *)0x09000000u = (uint8_t)*text++;
    }
}

/* Below 2^32 and above -10. Without a division, for which there is no library of this byte order. */
void port_number(int64_t value)
{
    static const uint32_t units[] = {1000000000u, 100000000u, 10000000u, 1000000u, 100000u, 10000u, 1000u, 100u, 10u, 1u};
    uint32_t rest = (uint32_t)(value < 0 ? -value : value), i;
    int begun = 0;

    if (value < 0) {
        port_text("-");
    }
    for (i = 0; i < sizeof units / sizeof *units; ++i) {
        char digit[2] = "0";

        for (; rest >= units[i]; rest -= units[i]) {
            ++digit[0];
        }
        begun |= digit[0] != '0' || units[i] == 1u;
        if (begun) {
            port_text(digit);
        }
    }
}

void port_print(const char *key, int64_t value)
{
    port_text(key);
    port_text("=");
    port_number(value);
    port_text("\n");
}

void port_exit(int code)
{
    port_print("exit", code);
    for (;;) {
        port_off();
    }
}
