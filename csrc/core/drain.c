// SPDX-License-Identifier: GPL-2.0-only
/*
 * Draining. A closed connection that has something to say is in one of three states until the
 * peer has acknowledged its end; a dump of the connections in these states shows whether there is
 * any, be it closed by halt or long before. In FIN_WAIT2 all is said, and the peer is not waited
 * for. Without a link that works nobody is there to talk to.
 */
#include "drain.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>

#include "host/host.h"
#include "link_handle.h"
#include "netlink.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

#define TALKING (1u << TCP_FIN_WAIT1 | 1u << TCP_CLOSING | 1u << TCP_LAST_ACK)

#define STEP_FIRST_NS 100000u
#define STEP_LAST_NS 5000000u

static bool any_talks(long lkl_fd, int family, uint32_t protocol)
{
	const struct inet_diag_req_v2 body = {
		.sdiag_family = (unsigned char)family,
		.sdiag_protocol = IPPROTO_TCP,
		.idiag_states = TALKING,
	};
	struct netlink_request request;

	netlink_begin(&request, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &body, sizeof(body));
	if (protocol != IPPROTO_TCP)
		netlink_attribute(&request, INET_DIAG_REQ_PROTOCOL, &protocol, sizeof(protocol));
	return netlink_ask(lkl_fd, &request) == SOCK_DIAG_BY_FAMILY;
}

static bool sockets_talk(void)
{
	long fd = netlink_open(NETLINK_SOCK_DIAG);
	bool talk;

	if (fd < 0)
		return false;
	talk = any_talks(fd, AF_INET, IPPROTO_TCP) || any_talks(fd, AF_INET6, IPPROTO_TCP) ||
	       any_talks(fd, AF_INET, IPPROTO_MPTCP) || any_talks(fd, AF_INET6, IPPROTO_MPTCP);
	netlink_close(fd);
	return talk;
}

void drain_run(uint64_t deadline_ns)
{
	uint64_t step = STEP_FIRST_NS;
	int never_woken = 0;

	while ((link_handles_any_carrier() && sockets_talk()) || !link_handles_idle()) {
		uint64_t now = host_clock_monotonic();

		if (now >= deadline_ns)
			return;
		host_io_wait(&never_woken, 0, deadline_ns - now < step ? deadline_ns : now + step);
		if (step < STEP_LAST_NS)
			step *= 2;
	}
}
