// SPDX-License-Identifier: GPL-2.0-only
/* Boot, halt, panic: states, and what calls and sleepers get. */
#include "net.h"

#include <dirent.h>

#include <linux/reboot.h>
#include <sys/wait.h>

#define NR_GETPPID 173
#define NR_REBOOT 142

static const long no_args[6];

TEST(boot_leads_to_running_and_halt_to_halted)
{
	EQ(lkl->state(), LKLSOCK_LOADED);
	boot();
	EQ(lkl->state(), LKLSOCK_RUNNING);
	OK(lkl->system_call(NULL, NR_GETPPID, no_args));
	OK(lkl->halt(soon()));
	EQ(lkl->state(), LKLSOCK_HALTED);
}

TEST(nothing_runs_before_boot_or_after_halt)
{
	struct lklsock_socket *sock, *late;
	struct lklsock_link *link;
	char buf[8];
	int fds[2];

	EQ(lkl->system_call(NULL, NR_GETPPID, no_args), LKLSOCK_ENOTRUNNING);
	EQ(lkl->socket_open(NULL, AF_INET, SOCK_STREAM, 0, &late), LKLSOCK_ENOTRUNNING);
	EQ(lkl->halt(soon()), LKLSOCK_ENOTRUNNING);
	CHECK(!lkl->task_new());
	wire_pair(fds);
	EQ(lkl->link_wire(fds[0], &link), LKLSOCK_ENOTRUNNING);
	boot();
	sock = open_socket(SOCK_STREAM, 0);
	OK(lkl->halt(soon()));
	EQ(lkl->system_call(NULL, NR_GETPPID, no_args), LKLSOCK_ENOTRUNNING);
	EQ(lkl->socket_open(NULL, AF_INET, SOCK_STREAM, 0, &late), LKLSOCK_ENOTRUNNING);
	EQ(lkl->recv(sock, buf, sizeof(buf), 0), LKLSOCK_ENOTRUNNING);
	EQ(lkl->socket_wait(sock, EPOLLIN, LKLSOCK_NEVER), LKLSOCK_ENOTRUNNING);
	EQ(lkl->socket_poll(sock), LKLSOCK_ENOTRUNNING);
	EQ(lkl->socket_shadow(sock), LKLSOCK_ENOTRUNNING);
	EQ(lkl->file_read("/proc/version", buf, sizeof(buf)), LKLSOCK_ENOTRUNNING);
	EQ(lkl->interface_up(1, true), LKLSOCK_ENOTRUNNING);
	EQ(lkl->socket_close(sock), 0);
	lkl->socket_put(sock);
}

TEST(boot_is_refused_the_second_time)
{
	const struct lklsock_boot again = { .memory_bytes = 32 * MIB };

	boot();
	EQ(lkl->boot(&again), -EALREADY);
	OK(lkl->halt(soon()));
	EQ(lkl->boot(&again), -EALREADY);
}

TEST(a_refused_boot_may_be_tried_again)
{
	const struct lklsock_boot small = { .memory_bytes = 8 * MIB - 1 };
	const struct lklsock_boot huge = { .memory_bytes = 1ull << 62 };
	const struct lklsock_boot loud = { .memory_bytes = 32 * MIB, .console_level = 9 };

	EQ(lkl->boot(&small), -EINVAL);
	CHECK(lkl->boot(&huge) < 0);
	EQ(lkl->boot(&loud), -EINVAL);
	EQ(lkl->state(), LKLSOCK_LOADED);
	boot();
}

TEST(eight_mebibytes_are_enough)
{
	struct pair pair;
	char byte = 1;

	boot_kernel(lkl, 8 * MIB);
	pair = connected(IPPROTO_MPTCP, 5000);
	send_all(pair.client, &byte, 1);
	EQ(receive(pair.server, &byte, 1), 1);
	OK(lkl->halt(soon()));
}

TEST(the_kernel_is_set_up)
{
	char buf[512];
	long args[6] = { 0, 7 /* RLIMIT_NOFILE */, 0, (long)buf };

	boot();
	memset(buf, 0, sizeof(buf));
	OK(lkl->file_read("/proc/sys/kernel/hostname", buf, sizeof(buf)));
	EQ(strcmp(buf, "box\n"), 0);
	memset(buf, 0, sizeof(buf));
	OK(lkl->file_read("/proc/net/if_inet6", buf, sizeof(buf)));
	CHECK(strstr(buf, "lo\n"));
	memset(buf, 0, sizeof(buf));
	OK(lkl->file_read("/proc/sys/net/ipv4/tcp_mem", buf, sizeof(buf)));
	EQ(strcmp(buf, "2048\t2730\t4096\n"), 0);
	OK(lkl->system_call(NULL, 261 /* prlimit64 */, args));
	EQ(*(uint64_t *)buf, 8192);
	CHECK(lkl->console_tail(buf, sizeof(buf)) > 0);
	EQ(strncmp(lkl->kernel_version(), "6.12.", 5), 0);
}

static void *sleep_in_wait(void *sock)
{
	return (void *)lkl->socket_wait(sock, EPOLLIN, LKLSOCK_NEVER);
}

/* Sleeps in the kernel until it ends. */
static void *sleep_inside(void *unused)
{
	const struct timespec hour = { .tv_sec = 3600 };
	const long args[6] = { (long)&hour };

	(void)unused;
	return (void *)lkl->system_call(NULL, 101 /* nanosleep */, args);
}

static void wait_for_sleepers(unsigned long long count)
{
	struct lklsock_statistics statistics;
	uint64_t deadline = soon();

	do {
		OK(lkl->statistics(&statistics));
		CHECK(now_ns() < deadline);
	} while (statistics.sleeping_owners < count);
}

TEST(halt_ends_sleepers)
{
	struct lklsock_socket *sock;
	pthread_t waiting, inside;

	boot();
	sock = listener(0, 5000);
	waiting = thread_start(sleep_in_wait, sock);
	inside = thread_start(sleep_inside, NULL);
	wait_for_sleepers(1);
	OK(lkl->halt(soon()));
	EQ(thread_join(waiting), LKLSOCK_ENOTRUNNING);
	EQ(thread_join(inside), LKLSOCK_ENOTRUNNING);
}

static long panic_now(void)
{
	const long args[6] = { (long)LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
			       (long)LINUX_REBOOT_CMD_HALT };

	return lkl->system_call(NULL, NR_REBOOT, args);
}

TEST(a_panic_ends_calls_sleepers_and_pollers)
{
	struct lklsock_socket *sock, *polled;
	pthread_t waiting, inside;
	char console[16384];
	int shadow;

	boot();
	sock = listener(0, 5000);
	polled = listener(0, 5001);
	shadow = (int)OK(lkl->socket_shadow(polled));
	waiting = thread_start(sleep_in_wait, sock);
	inside = thread_start(sleep_inside, NULL);
	wait_for_sleepers(1);
	EQ(panic_now(), LKLSOCK_ENOTRUNNING);
	EQ(lkl->state(), LKLSOCK_PANICKED);
	EQ(thread_join(waiting), LKLSOCK_ENOTRUNNING);
	EQ(thread_join(inside), LKLSOCK_ENOTRUNNING);
	CHECK(poll_fd(shadow, POLLIN, 20000) & POLLHUP);
	EQ(lkl->system_call(NULL, NR_GETPPID, no_args), LKLSOCK_ENOTRUNNING);
	lkl->console_tail(console, sizeof(console));
	CHECK(strstr(console, "Kernel panic - not syncing: halted"));
	CHECK(strstr(console, "lklsock: the kernel is dead: halted\n"));
	EQ(lkl->socket_close(sock), 0);
	lkl->socket_put(sock);
	EQ(lkl->halt(soon()), 0);
	EQ(lkl->state(), LKLSOCK_PANICKED);
}

static void fork_prepare(void)
{
	lkl->fork_prepare();
}

static void fork_parent(void)
{
	lkl->fork_parent();
	lkl->fork_resume();
}

static void fork_child(void)
{
	lkl->fork_child();
}

static int in_child(struct pair pair, int shadow)
{
	struct lklsock_socket *sock;
	char byte;

	return lkl->state() == LKLSOCK_FORKED &&
	       lkl->recv(pair.server, &byte, 1, 0) == LKLSOCK_ENOTRUNNING &&
	       lkl->socket_wait(pair.server, EPOLLIN, LKLSOCK_NEVER) == LKLSOCK_ENOTRUNNING &&
	       lkl->socket_shadow(pair.server) == LKLSOCK_ENOTRUNNING &&
	       lkl->socket_open(NULL, AF_INET, SOCK_STREAM, 0, &sock) == LKLSOCK_ENOTRUNNING &&
	       !lkl->socket_close(pair.server) && lkl->halt(soon()) == LKLSOCK_ENOTRUNNING &&
	       !close(shadow);
}

TEST(a_forked_child_has_no_kernel_and_the_parent_keeps_its_own)
{
	struct pair pair;
	char byte = 1;
	int shadow, status, hold[2];
	pid_t pid;

	boot();
	pair = connected(IPPROTO_TCP, 5000);
	shadow = (int)OK(lkl->socket_shadow(pair.server));
	CHECK(!pipe(hold));
	pthread_atfork(fork_prepare, fork_parent, fork_child);
	pid = fork();
	if (!pid) {
		int good = in_child(pair, shadow);

		lkl->socket_put(pair.server);
		/* Lives until the parent has seen its hang-up: it must hold no end of it. */
		close(hold[1]);
		if (read(hold[0], &byte, 1))
			good = 0;
		_exit(good ? 0 : 1);
	}
	EQ(lkl->state(), LKLSOCK_RUNNING);
	send_all(pair.client, &byte, 1);
	EQ(poll_fd(shadow, POLLIN, 20000), POLLIN);
	EQ(receive(pair.server, &byte, 1), 1);
	OK(lkl->socket_close(pair.server));
	poll_until(shadow, POLLIN | POLLOUT, POLLIN | POLLOUT | POLLHUP);
	close(hold[1]);
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 0);
	OK(lkl->halt(soon()));
}

static int threads(void)
{
	int count = 0;
	DIR *dir = opendir("/proc/self/task");

	CHECK(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2;
}

TEST(there_is_no_thread_between_fork_and_resume_and_calls_work)
{
	struct pair pair;
	char byte = 1;
	int alone;

	boot();
	alone = threads() - 1;
#ifndef __SANITIZE_THREAD__
	/* ThreadSanitizer has threads of its own. */
	EQ(alone, 1);
#endif
	pair = connected(IPPROTO_TCP, 5000);
	for (int round = 0; round < 20; round++) {
		lkl->fork_prepare();
		EQ(threads(), alone);
		lkl->fork_parent();
		EQ(threads(), alone);
		send_all(pair.client, &byte, 1);
		EQ(receive(pair.server, &byte, 1), 1);
		lkl->fork_resume();
		EQ(threads(), alone + 1);
	}
	lkl->fork_prepare();
	lkl->fork_parent();
	OK(lkl->halt(soon()));
	lkl->fork_resume();
	EQ(threads(), alone);
}

TEST(fork_is_possible_in_every_state)
{
	for (int round = 0; round < 3; round++) {
		int status;
		pid_t pid;

		lkl->fork_prepare();
		pid = fork();
		if (!pid) {
			lkl->fork_child();
			_exit(lkl->state() == LKLSOCK_FORKED ? 0 : 1);
		}
		lkl->fork_parent();
		lkl->fork_resume();
		EQ(waitpid(pid, &status, 0), pid);
		EQ(status, 0);
		if (round == 0)
			boot();
		if (round == 1)
			OK(lkl->halt(soon()));
	}
}
