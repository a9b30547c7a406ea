// SPDX-License-Identifier: GPL-2.0-only
/*
 * Boots a stack once and prints what that took of time, memory and threads.
 *
 *	boot LIBRARY MEMORY_MB
 *
 * Output: load_ns boot_ns rss_added_kb threads_added. Memory and threads are those that
 * loading and booting added to the process.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "net.h"
#include "report.h"

struct process {
	long rss_kb, threads;
};

static struct process process_now(void)
{
	struct process now = { 0 };
	FILE *status = fopen("/proc/self/status", "r");
	char line[256];

	if (!status)
		must("/proc/self/status", -errno);
	while (fgets(line, sizeof(line), status)) {
		sscanf(line, "VmRSS: %ld", &now.rss_kb);
		sscanf(line, "Threads: %ld", &now.threads);
	}
	fclose(status);
	return now;
}

int main(int argc, char **argv)
{
	struct process before, after;
	uint64_t start, loaded, booted;

	if (argc != 3) {
		fprintf(stderr, "usage: boot LIBRARY MEMORY_MB\n");
		return 2;
	}
	before = process_now();
	start = now_ns();
	net_stack_load(argv[1]);
	loaded = now_ns();
	net_stack_boot(strtoull(argv[2], NULL, 10) << 20);
	booted = now_ns();
	after = process_now();
	printf("%llu %llu %ld %ld\n", (unsigned long long)(loaded - start),
	       (unsigned long long)(booted - loaded), after.rss_kb - before.rss_kb,
	       after.threads - before.threads);
	return 0;
}
