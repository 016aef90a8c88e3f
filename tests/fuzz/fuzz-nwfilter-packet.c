/*
 * tests/fuzz/fuzz-nwfilter-packet.c - frames of guests, from any bytes
 *
 * A packet of DHCP says only what such packets can say.
 */
#include "fuzz.h"
#include "host/nw-packet.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        NwPacket packet;

        nw_packet_read(data, size, &packet);
        if (packet.kind != NW_PACKET_DHCP && packet.leased.family)
                abort();
        if (packet.kind != NW_PACKET_OTHER && packet.address.family != AF_INET)
                abort();
        return 0;
}
