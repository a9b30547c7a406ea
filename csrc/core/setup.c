// SPDX-License-Identifier: GPL-2.0-only
/*
 * The first system calls: /proc, limits, host name, loopback, and what the network may take of
 * the memory.
 */
#include "setup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "file.h"
#include "netconf.h"
#include "syscall.h"

#define LOOPBACK 1 /* interface index */

#define PAGE 4096u
#define MIB (1u << 20)

/*
 * A host's limits of one TCP socket, and what they may be of the memory: a few busy sockets shall
 * not fill it. tcp_mem below bounds them all.
 */
#define TCP_RMEM_MAX (6u * MIB)
#define TCP_WMEM_MAX (4u * MIB)
#define TCP_SOCKET_SHARE 16

/* Descriptors: what an idle TCP connection takes, roughly, and no fewer than a program expects. */
#define SOCKET_BYTES 8192u
#define FILES_MIN 1024u
#define FILES_MAX 1048576u

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static long sysctl(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

static long sysctl(const char *name, const char *format, ...)
{
	char path[96], value[96];
	va_list args;
	long ret;

	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	va_start(args, format);
	vsnprintf(value, sizeof(value), format, args);
	va_end(args);
	ret = file_write(path, value, strlen(value));
	return ret < 0 ? ret : 0;
}

static long proc_mount(void)
{
	long ret = syscall_do(LKL_NR_mkdirat, AT_FDCWD, (long)"/proc", 0555);

	if (ret)
		return ret;
	return syscall_do(LKL_NR_mount, (long)"proc", (long)"/proc", (long)"proc", 0, 0);
}

static long files_limit(uint64_t memory_bytes)
{
	uint64_t files = smaller(memory_bytes / SOCKET_BYTES, FILES_MAX);
	struct rlimit limit;

	if (files < FILES_MIN)
		files = FILES_MIN;
	limit.rlim_cur = files;
	limit.rlim_max = files;
	return syscall_do(LKL_NR_prlimit64, 0, RLIMIT_NOFILE, (long)&limit, 0);
}

static long hostname_set(const char *name)
{
	if (!name)
		return 0;
	return syscall_do(LKL_NR_sethostname, (long)name, (long)strlen(name));
}

/*
 * The kernel would size these by a host's habits, where the network is one user of the memory of
 * many. Here it is the only one; yet the stack itself must live when it has taken all: TCP gets a
 * quarter, UDP an eighth.
 */
static long network_memory(uint64_t memory_bytes)
{
	uint64_t pages = memory_bytes / PAGE;
	uint64_t share = memory_bytes / TCP_SOCKET_SHARE;
	long ret;

	ret = sysctl("net/ipv4/tcp_rmem", "4096 131072 %" PRIu64, smaller(share, TCP_RMEM_MAX));
	if (!ret)
		ret = sysctl("net/ipv4/tcp_wmem", "4096 16384 %" PRIu64,
			     smaller(share, TCP_WMEM_MAX));
	if (!ret)
		ret = sysctl("net/ipv4/tcp_mem", "%" PRIu64 " %" PRIu64 " %" PRIu64, pages / 8,
			     pages / 6, pages / 4);
	if (!ret)
		ret = sysctl("net/ipv4/udp_mem", "%" PRIu64 " %" PRIu64 " %" PRIu64, pages / 16,
			     pages / 12, pages / 8);
	return ret;
}

/*
 * An IPv6 address is good at once, as an IPv4 one is: nobody asks first whether another host has it. Optimistic DAD
 * would not do: no neighbour is asked for from an address on trial, so what is sent first waits for a second.
 */
static long no_dad(void)
{
	return sysctl("net/ipv6/conf/default/accept_dad", "0");
}

/* One path that loses MPTCP's options is no reason to do without it on all others. */
static long mptcp_anyway(void)
{
	return sysctl("net/mptcp/blackhole_timeout", "0");
}

long setup_run(const struct lklsock_boot *boot)
{
	long ret = proc_mount();

	if (!ret)
		ret = files_limit(boot->memory_bytes);
	if (!ret)
		ret = hostname_set(boot->hostname);
	if (!ret)
		ret = network_memory(boot->memory_bytes);
	if (!ret)
		ret = no_dad();
	if (!ret)
		ret = mptcp_anyway();
	if (!ret)
		ret = interface_up(LOOPBACK, true);
	return ret;
}
