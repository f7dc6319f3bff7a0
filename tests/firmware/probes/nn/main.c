/* Runs cases that lie back to back, each after its size in four bytes, little-endian.
 *
 * On a board: behind each case, status and output size, two words, and the output that it must give, filled up to a word.
 * Prints INDEX=STATUS where all is so, else INDEX.wrong=PLACE of the first byte that differs, or INDEX.status; where
 * the size is -1, INDEX.instructions and INDEX.stack, of a second run.
 * On a host: takes them from standard input and writes, for each, status, output size and output. */
#include "case.h"

#if __STDC_HOSTED__

#include <stdio.h>
#include <stdlib.h>

static int put_word(uint32_t word)
{
    const uint8_t bytes[4] = {(uint8_t)word, (uint8_t)(word >> 8), (uint8_t)(word >> 16), (uint8_t)(word >> 24)};
    return fwrite(bytes, 1, 4, stdout) == 4;
}

int main(void)
{
    uint8_t head[4], *out;
    size_t size, out_size;
    while (fread(head, 1, 4, stdin) == 4) {
        uint8_t *const data = (uint8_t *)malloc(size = case_word(head));
        ncd_status status;
        if (!data || fread(data, 1, size, stdin) != size)
            return 1;
        out_size = 0;
        status = case_run(data, &out, &out_size);
        if (status != NCD_OK)
            out_size = 0;
        if (!put_word((uint32_t)status) || !put_word((uint32_t)out_size) || fwrite(out, 1, out_size, stdout) != out_size)
            return 1;
        case_free();
        free(data);
    }
    return 0;
}

#else

#include "port.h"

extern const uint8_t model_stream[], model_stream_end[];

static void print(int64_t index, const char *key, int64_t value)
{
    port_number(index);
    port_print(key, value);
}

static float magnitude(float x)
{
    return x < 0 ? -x : x;
}

/* Whether the float at a and the one at b are as good as the same. */
static int is_close(const uint8_t *a, const uint8_t *b)
{
    float x, y;
    __builtin_memcpy(&x, a, 4);
    __builtin_memcpy(&y, b, 4);
    return magnitude(x - y) <= 1e-4f * (1.0f + magnitude(y));
}

int main(void)
{
    const uint8_t *p = model_stream;
    int64_t index;
    for (index = 0; p < model_stream_end; ++index) {
        const uint8_t *const data = p + 4, *expected;
        const int is_float = case_word(data) > 20;
        uint8_t *out;
        size_t out_size = 0, i, step = is_float ? 4 : 1;
        uint32_t wanted;
        ncd_status status;
        p = data + case_word(p);
        wanted = case_word(p + 4);
        expected = p + 8;
        status = case_run(data, &out, &out_size);
        if (wanted == UINT32_MAX) {
            uint32_t from;
            case_free();
            port_stack_paint();
            from = port_counter();
            status = case_run(data, &out, &out_size);
            print(index, ".instructions", port_instructions(from, port_counter()));
            print(index, ".stack", port_stack_peak() - port_stack_depth());
            wanted = 0;
            out_size = 0;
        }
        if ((int32_t)status != (int32_t)case_word(p) || (status == NCD_OK && out_size != wanted)) {
            print(index, ".status", status);
        } else {
            for (i = 0; status == NCD_OK && i < out_size; i += step)
                if (is_float ? !is_close(out + i, expected + i) : out[i] != expected[i])
                    break;
            if (status == NCD_OK && i < out_size)
                print(index, ".wrong", (int64_t)i);
            else
                print(index, "", status);
        }
        case_free();
        p = expected + ((wanted + 3u) & ~3u);
    }
    return PORT_OK;
}

#endif
