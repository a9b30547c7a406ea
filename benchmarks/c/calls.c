// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints what a trivial system call (getppid) takes, ns, over the stack and over the host's kernel: in a loop, after
 * the CPU was idle, and after the caches were filled with something else as well.
 *
 *	calls LIBRARY hot|idle|evicted ROUNDS
 *
 * A line has the two figures of one round, one measurement of each kernel in turn.
 */
#include <stdio.h>
#include <stdlib.h>

#include "net.h"
#include "report.h"

#define LOOP 2000000
#define IDLE_NS 30000000
#define COLD_CALLS 50           /* a round; their median counts */
#define EVICT_BYTES (64u << 20) /* more than a last-level cache holds for one core */

static unsigned char *evict;

static double hot_ns(const struct net *net)
{
	uint64_t start = now_ns();

	for (int i = 0; i < LOOP; i++)
		net->getppid();
	return (double)(now_ns() - start) / LOOP;
}

static void fill_caches(void)
{
	if (!evict)
		return;
	for (size_t i = 0; i < EVICT_BYTES; i += 64)
		evict[i]++;
}

static double cold_ns(const struct net *net)
{
	const struct timespec idle = { .tv_nsec = IDLE_NS };
	uint64_t took[COLD_CALLS];

	for (int i = 0; i < COLD_CALLS; i++) {
		uint64_t start;

		nanosleep(&idle, NULL);
		fill_caches();
		start = now_ns();
		net->getppid();
		took[i] = now_ns() - start;
	}
	return (double)quantile(took, COLD_CALLS, 0.5);
}

int main(int argc, char **argv)
{
	double (*measure)(const struct net *net);

	if (argc != 4) {
		fprintf(stderr, "usage: calls LIBRARY hot|idle|evicted ROUNDS\n");
		return 2;
	}
	measure = strcmp(argv[2], "hot") ? cold_ns : hot_ns;
	if (!strcmp(argv[2], "evicted"))
		evict = calloc(1, EVICT_BYTES);
	net_stack_load(argv[1]);
	net_stack_boot(64u << 20);
	for (int i = atoi(argv[3]); i > 0; i--) {
		double stack = measure(&net_stack);

		printf("%.1f %.1f\n", stack, measure(&net_host));
		fflush(stdout);
	}
	return 0;
}
