/* Runs an exported network, named net, on the inputs that lie in flash, and compares the outputs with those beside them:
 * a 32-bit number of inputs, then the inputs, then the outputs. */
#include "net.h"
#include "port.h"
#include "probe.h"

extern const uint8_t model_stream[];

enum { MOST_LAYERS = 64 };
static uint32_t marks[MOST_LAYERS + 1], last;

void network_probe(uint32_t index)
{
    if (index <= MOST_LAYERS) {
        marks[index] = port_counter();
        last = index;
    }
}

int main(void)
{
    const int8_t *const inputs = (const int8_t *)model_stream + 4;
    const uint32_t count = *(const uint32_t *)(const void *)model_stream;
    const int8_t *const expected = inputs + count * NCD_NET_INPUT_SIZE;
    uint32_t i, k, same = 0, crc = 0;
    ncd_status status = ncd_net_init(0, 0);

    if (status != NCD_OK) {
        port_print("init", status);
        return PORT_FAILED;
    }
    for (i = 0; i < count; ++i) {
        uint32_t right = 1;
        port_stack_paint();
        status = ncd_net_run(inputs + i * NCD_NET_INPUT_SIZE, NCD_NET_INPUT_SIZE);
        if (status != NCD_OK) {
            port_print("run", status);
            return PORT_FAILED;
        }
        if (i == 0) {
            port_print("stack", port_stack_peak() - port_stack_depth());
            for (k = 0; k < last; ++k)
                port_print("layer", port_instructions(marks[k], marks[k + 1]));
        }
        for (k = 0; k < NCD_NET_OUTPUT_SIZE; ++k)
            right &= ncd_net_output()[k] == expected[i * NCD_NET_OUTPUT_SIZE + k];
        same += right;
        crc = ncd_crc32(crc, ncd_net_output(), NCD_NET_OUTPUT_SIZE);
    }
    port_print("inputs", count);
    port_print("same", same);
    port_print("crc32", crc);
    return same == count ? PORT_OK : PORT_FAILED;
}
