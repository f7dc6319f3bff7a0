/* Goes in front of an exported network's source: its layers are timed one by one. */
#ifndef PROBE_H
#define PROBE_H

#include <stdint.h>

void network_probe(uint32_t index);
#define NCD_NN_PROBE(index) network_probe(index)

#endif
