// SPDX-License-Identifier: GPL-2.0-only
/*
 * A TCP reset's missing flag. Source: RFC 9293, 3.10.7.3.
 */
#include "passt_reset.h"

#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <string.h>

/* Return: where the frame's TCP header is, or 0: there is none. */
static unsigned long tcp_offset(const uint8_t *frame, unsigned long bytes)
{
	const uint8_t *ip = frame + ETH_HLEN;
	unsigned long at = 0;

	if (bytes < ETH_HLEN + sizeof(struct iphdr))
		return 0;
	switch (frame[12] << 8 | frame[13]) {
	case ETHERTYPE_IP:
		if (ip[9] == IPPROTO_TCP)
			at = ETH_HLEN + (ip[0] & 0xfu) * 4;
		break;
	case ETHERTYPE_IPV6:
		if (ip[6] == IPPROTO_TCP)
			at = ETH_HLEN + sizeof(struct ip6_hdr);
		break;
	}
	return at + sizeof(struct tcphdr) <= bytes ? at : 0;
}

void passt_reset_complete(char *frame, unsigned long bytes)
{
	const unsigned long at = tcp_offset((const uint8_t *)frame, bytes);
	struct tcphdr tcp;
	uint32_t sum;

	if (!at)
		return;
	memcpy(&tcp, frame + at, sizeof(tcp));
	if (!(tcp.th_flags & TH_RST) || tcp.th_flags & TH_ACK || !tcp.th_ack)
		return;
	tcp.th_flags |= TH_ACK;
	/* RFC 1624: what was added to the data is taken from the sum. */
	sum = (uint32_t)ntohs(tcp.th_sum) + (uint16_t)~TH_ACK;
	tcp.th_sum = htons((uint16_t)((sum & 0xffff) + (sum >> 16)));
	memcpy(frame + at, &tcp, sizeof(tcp));
}
