// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one I/O thread, its timer and its kick.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <lkl_host.h>

#include "io.h"

/*
 * Interrupts run kernel code on this stack: sockets, protocols and links, and a sanitizer's red
 * zones.
 */
#define STACK_BYTES (512 * 1024)

#define GONE_NS 20000000u

struct io_fds io_fds = { -1, -1, -1, -1, -1 };
bool io_running;

static pthread_t thread;
static pid_t thread_id; /* atomic */
static void (*after_irq)(void);

/* All but the signals of a fault: those must end in the program's own handler. */
static void signals_fill(sigset_t *set)
{
	sigfillset(set);
	sigdelset(set, SIGSEGV);
	sigdelset(set, SIGBUS);
	sigdelset(set, SIGFPE);
	sigdelset(set, SIGILL);
	sigdelset(set, SIGTRAP);
	sigdelset(set, SIGABRT);
	sigdelset(set, SIGSYS);
}

void io_signal(const int *fd)
{
	const uint64_t one = 1;

	/* The counter never gets near its limit. */
	syscall(SYS_write, io_fd(fd), &one, sizeof(one));
}

void host_io_set_after_irq(void (*fn)(void))
{
	after_irq = fn;
}

void io_irq(unsigned bits)
{
	lkl_irq(bits);
	if (after_irq)
		after_irq();
}

/*
 * Kernel work that is left over runs here, a slice per lkl_irq(), with a look at the
 * descriptors in between.
 */
static void *thread_run(void *unused)
{
	struct io_batch batch;
	bool pending = false;
	int kicks;

	(void)unused;
	__atomic_store_n(&thread_id, host_thread_id(), __ATOMIC_RELAXED);
	do {
		if (io_poll(pending ? 0 : HOST_NEVER, &batch) < 0)
			continue;
		kicks = io_back_kicks();
		if (lkl_work_pending())
			batch.irq |= LKL_IRQ_KICK;
		if (batch.irq)
			io_irq(batch.irq);
		pending = lkl_work_pending();
		if (batch.leader_kick)
			io_leader_pass_kick();
		if (pending && io_leader_is_there()) {
			/* It goes on with it. */
			io_signal(&io_fds.kick);
			pending = false;
		}
		if (!pending)
			io_back_stand(kicks);
	} while (!batch.stop);
	return NULL;
}

static int thread_create(void)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int err;

	signals_fill(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	err = pthread_create(&thread, &attr, thread_run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (err)
		return -err;
	pthread_setname_np(thread, "lkl-io");
	return 0;
}

static int thread_start(void)
{
	uint64_t stops;
	int err;

	/* The stop of before. */
	syscall(SYS_read, io_fds.stop, &stops, sizeof(stops));
	__atomic_store_n(&io_running, true, __ATOMIC_SEQ_CST);
	err = thread_create();
	if (err)
		__atomic_store_n(&io_running, false, __ATOMIC_SEQ_CST);
	return err;
}

/* After this nobody polls. */
static void thread_stop(void)
{
	__atomic_store_n(&io_running, false, __ATOMIC_SEQ_CST);
	io_signal(&io_fds.stop);
	pthread_join(thread, NULL);
	io_leader_wait_gone();
}

/*
 * A joined thread is on the process's list a moment longer, and who counts threads at fork(2), as
 * CPython does, would still see it.
 */
static void thread_wait_gone(void)
{
	pid_t id = __atomic_load_n(&thread_id, __ATOMIC_RELAXED);
	uint64_t deadline = host_clock_monotonic() + GONE_NS;

	while (!syscall(SYS_tgkill, getpid(), id, 0) && host_clock_monotonic() < deadline)
		sched_yield();
}

static void fd_close(int *fd)
{
	int old = __atomic_exchange_n(fd, -1, __ATOMIC_RELAXED);

	if (old >= 0)
		close(old);
}

static void fds_close(void)
{
	fd_close(&io_fds.timer);
	fd_close(&io_fds.kick);
	fd_close(&io_fds.leader);
	fd_close(&io_fds.stop);
	fd_close(&io_fds.epoll);
}

static int fd_watch(int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = { .events = events, .data.u64 = data };

	return fd < 0 || epoll_ctl(io_fds.epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int fds_open(void)
{
	int err;

	io_fds.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (io_fds.epoll < 0)
		return -errno;
	io_fds.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	err = fd_watch(io_fds.timer, EPOLLIN | EPOLLET, IO_TIMER);
	if (err)
		goto fail;
	io_fds.kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = fd_watch(io_fds.kick, EPOLLIN | EPOLLET, IO_KICK);
	if (err)
		goto fail;
	io_fds.leader = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = fd_watch(io_fds.leader, EPOLLIN | EPOLLET, IO_LEADER);
	if (err)
		goto fail;
	io_fds.stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = fd_watch(io_fds.stop, EPOLLIN, IO_STOP);
	if (err)
		goto fail;
	return 0;
fail:
	fds_close();
	return err;
}

int host_io_start(void)
{
	int err = fds_open();

	if (err)
		return err;
	err = thread_start();
	if (err)
		fds_close();
	return err;
}

void host_io_stop(void)
{
	/* It rests from fork(2) on until host_io_fork_parent(). */
	if (__atomic_load_n(&io_running, __ATOMIC_SEQ_CST))
		thread_stop();
	fds_close();
}

void host_timer_set(uint64_t at_ns)
{
	/* All zero disarms. */
	uint64_t at = at_ns == HOST_NEVER ? 0 : at_ns ? at_ns : 1;
	struct itimerspec when = {
		.it_value.tv_sec = (time_t)(at / 1000000000u),
		.it_value.tv_nsec = (long)(at % 1000000000u),
	};

	syscall(SYS_timerfd_settime, io_fd(&io_fds.timer), TFD_TIMER_ABSTIME, &when, NULL);
}

void host_io_kick(void)
{
	io_signal(&io_fds.kick);
	io_back_kick();
}

void host_io_fork_prepare(void)
{
	if (!__atomic_load_n(&io_running, __ATOMIC_SEQ_CST))
		return;
	thread_stop();
	thread_wait_gone();
}

void host_io_fork_parent(void)
{
	if (io_fd(&io_fds.epoll) >= 0 && !__atomic_load_n(&io_running, __ATOMIC_SEQ_CST))
		thread_start();
}

/* Only close(2): epoll_ctl() would reach the parent's epoll, which the copy shares. */
void host_io_fork_child(void)
{
	io_source_fork_close();
	fds_close();
}
