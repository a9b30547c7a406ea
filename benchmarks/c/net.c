// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is the same over both kernels: how a stream socket is set up.
 */
#include "net.h"

#include <netinet/tcp.h>

#include "report.h"

int net_protocol(const char *word)
{
	if (!strcmp(word, "tcp"))
		return IPPROTO_TCP;
	if (!strcmp(word, "mptcp"))
		return IPPROTO_MPTCP;
	fprintf(stderr, "%s: neither tcp nor mptcp\n", word);
	exit(2);
}

void net_stream(const struct net *net, int family, int protocol, const char *congestion,
		struct net_socket *out)
{
	const int on = 1;

	must("socket", net->open(family, SOCK_STREAM, protocol, out));
	must("SO_REUSEADDR", net->setsockopt(out, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
	must("TCP_NODELAY", net->setsockopt(out, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)));
	if (congestion)
		must(congestion, net->setsockopt(out, IPPROTO_TCP, TCP_CONGESTION, congestion,
						 (socklen_t)strlen(congestion)));
}
