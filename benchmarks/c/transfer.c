// SPDX-License-Identifier: GPL-2.0-only
/*
 * One end of a TCP or MPTCP connection to another program: over the stack with
 * TAPs as its paths, or over the host's kernel in whatever network namespace it runs.
 *
 *	transfer server|client stack|host ADDRESS PORT tcp|mptcp send|receive|echo|round-trip SECONDS SETTLE_S
 *		[LIBRARY] [NAME=VALUE ...] [IFNAME,ADDRESS,GATEWAY ...]
 *
 * Writes a line "ready" when a server listens, "started" with the first byte received, and at the end one
 * JSON object. NAME=VALUE is a sysctl, such as net/ipv4/tcp_wmem. Paths after the first are MPTCP
 * endpoints of further subflows; a stack opens the TAPs of that name.
 */
#include <arpa/inet.h>
#include <lklsock.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/resource.h>

#include "exchange.h"
#include "mptcp_pm.h"
#include "net.h"
#include "report.h"
#include "stack_path.h"

#define CONGESTION "cubic" /* at both ends, whatever a host defaults to */
#define SUBFLOWS_MAX 4
#define MEMORY_BYTES (128u << 20)
#define WORDS 9 /* of argv that are always there */

struct usage {
	struct lklsock_statistics stack;
	double cpu_s;
};

/* Return: what comes after the settings. */
static char **settings_make(const struct net *net, char **texts)
{
	char *value;

	for (; *texts && (value = strchr(*texts, '=')); texts++) {
		*value++ = '\0';
		must(*texts, net->sysctl(*texts, value));
	}
	return texts;
}

static void paths_set_up(const struct net *net, char **texts)
{
	if (net == &net_stack) {
		net_stack_load(*texts++);
		net_stack_boot(MEMORY_BYTES);
	}
	mptcp_pm_reset(net, SUBFLOWS_MAX);
	/* Paths are cut here: that must not turn MPTCP off for the next connections. */
	must("blackhole_timeout", net->sysctl("net/mptcp/blackhole_timeout", "0"));
	texts = settings_make(net, texts);
	for (unsigned i = 0; texts[i]; i++) {
		struct path path;
		int ifindex;

		path_parse(texts[i], &path);
		ifindex = net == &net_stack ? stack_path_open(&path, i) :
					      (int)if_nametoindex(path.ifname);
		if (i)
			mptcp_pm_endpoint(net, path.address, ifindex);
	}
}

static void serve(const struct net *net, int protocol, const struct sockaddr_in *addr,
		  struct net_socket *out)
{
	struct net_socket listener;

	net_stream(net, AF_INET, protocol, CONGESTION, &listener);
	must("bind", net->bind(&listener, addr, sizeof(*addr)));
	must("listen", net->listen(&listener, SUBFLOWS_MAX));
	puts("ready");
	fflush(stdout);
	must("accept", net->accept(&listener, out));
	/* It stays open: without a listener further subflows would be refused. */
}

static void usage_now(const struct net *net, struct usage *out)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	*out = (struct usage){
		.cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
			 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
	};
	if (net == &net_stack)
		must("statistics", net_stack_api()->statistics(&out->stack));
}

static void usage_print(const struct net *net, const struct usage *from)
{
	struct usage to;

	usage_now(net, &to);
	printf("\"cpu_s\": %.4f", to.cpu_s - from->cpu_s);
	if (net != &net_stack)
		return;
#define DELTA(name) \
	printf(", \"" #name "\": %llu", (unsigned long long)(to.stack.name - from->stack.name))
	DELTA(requests);
	DELTA(cold_requests);
	DELTA(sleeping_owners);
	DELTA(switches);
	DELTA(interrupts);
	DELTA(timer_sets);
	DELTA(handoffs);
	DELTA(kicks);
#undef DELTA
}

static void exchange(const struct net *net, struct net_socket *sock, char **argv)
{
	const char *what = argv[6];
	double seconds = atof(argv[7]), settle_s = atof(argv[8]);
	struct received received;
	struct echoed echoed;
	struct usage usage;

	usage_now(net, &usage);
	if (!strcmp(what, "send")) {
		exchange_send(net, sock);
		printf("{");
	} else if (!strcmp(what, "echo")) {
		exchange_echo(net, sock);
		printf("{");
	} else if (!strcmp(what, "receive")) {
		exchange_receive(net, sock, seconds, settle_s, &received);
		printf("{\"bytes\": %llu, \"seconds\": %.6f, \"gap_s\": %.6f, \"gap_at_s\": %.6f, "
		       "\"subflows\": %d, ",
		       (unsigned long long)received.bytes, received.seconds, received.gap_s,
		       received.gap_at_s, mptcp_pm_subflows(net, sock));
	} else {
		exchange_round_trips(net, sock, seconds, &echoed);
		printf("{\"round_trips\": %llu, \"mean_us\": %.3f, \"median_us\": %.3f, "
		       "\"p99_us\": %.3f, \"subflows\": %d, ",
		       (unsigned long long)echoed.round_trips, echoed.mean_us, echoed.median_us,
		       echoed.p99_us, mptcp_pm_subflows(net, sock));
	}
	usage_print(net, &usage);
	puts("}");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	const struct net *net;
	struct net_socket sock;
	int protocol;

	if (argc < WORDS) {
		fprintf(stderr, "usage: transfer server|client stack|host ADDRESS PORT tcp|mptcp "
				"send|receive|echo|round-trip SECONDS SETTLE_S [LIBRARY] "
				"[NAME=VALUE ...] [IFNAME,ADDRESS,GATEWAY ...]\n");
		return 2;
	}
	net = strcmp(argv[2], "stack") ? &net_host : &net_stack;
	if (inet_pton(AF_INET, argv[3], &addr.sin_addr) != 1)
		must(argv[3], -EINVAL);
	addr.sin_port = htons((uint16_t)atoi(argv[4]));
	protocol = net_protocol(argv[5]);
	paths_set_up(net, argv + WORDS);
	if (!strcmp(argv[1], "server")) {
		serve(net, protocol, &addr, &sock);
	} else {
		net_stream(net, AF_INET, protocol, CONGESTION, &sock);
		must("connect", net->connect(&sock, &addr, sizeof(addr)));
	}
	exchange(net, &sock, argv);
	net->close(&sock);
	return 0;
}
