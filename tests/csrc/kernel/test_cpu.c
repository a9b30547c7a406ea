// SPDX-License-Identifier: GPL-2.0-only
/* The CPU's lock: nobody starves, and a thread that is inside does not wait for itself. */
#include <errno.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include "net.h"

/* asm-generic's numbers. */
#define NR_NANOSLEEP 101
#define NR_GETPPID 173

#define HOGS 4
#define NAPS 200

static int stop;

static long call(long nr, long a0, long a1)
{
	const long args[6] = { a0, a1 };

	return lkl->system_call(NULL, nr, args);
}

static void *hog(void *unused)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		call(NR_GETPPID, 0, 0);
	return unused;
}

TEST(a_sleeper_is_not_starved_by_threads_in_tight_loops)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	pthread_t hogs[HOGS];
	uint64_t start;

	boot();
	for (int i = 0; i < HOGS; i++)
		hogs[i] = thread_start(hog, NULL);
	start = now_ns();
	for (int i = 0; i < NAPS; i++)
		EQ(call(NR_NANOSLEEP, (long)&nap, 0), 0);
	/* 200 naps of 1 ms; each may wait for its turn, and for a core of the host. */
	CHECK(now_ns() - start < NAPS * 20 * 1000000ull);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < HOGS; i++)
		thread_join(hogs[i]);
}

static volatile sig_atomic_t ticks, refused;

static void call_from_handler(int number)
{
	int saved = errno;

	(void)number;
	ticks++;
	if (call(NR_GETPPID, 0, 0) == LKLSOCK_EREENTRY)
		refused++;
	/* As of a library's function: calls may change it. */
	errno = saved;
}

/* A handler that hits its thread inside the kernel is refused; one that hits it outside is served. */
TEST(a_call_from_a_signal_handler_never_waits_for_its_own_thread)
{
	const struct itimerval every = { { 0, 500 }, { 0, 500 } };
	const struct sigaction action = { .sa_handler = call_from_handler, .sa_flags = SA_RESTART };
	uint64_t deadline;

	boot();
	sigaction(SIGPROF, &action, NULL);
	setitimer(ITIMER_PROF, &every, NULL);
	deadline = soon();
	while ((ticks < 200 || !refused) && now_ns() < deadline)
		for (int i = 0; i < 1000; i++)
			EQ(call(NR_GETPPID, 0, 0), 0);
	setitimer(ITIMER_PROF, &(struct itimerval){ 0 }, NULL);
	CHECK(refused > 0);
	CHECK(refused < ticks);
}
