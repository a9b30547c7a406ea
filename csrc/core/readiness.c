// SPDX-License-Identifier: GPL-2.0-only
/*
 * Readiness: the queue of news, and sleeping for it.
 *
 * Why no wake-up is lost:
 *
 * 1. The kernel tells every change while somebody is armed: it polls a watched file before the
 *    CPU is given up, stores the mask, and queues the socket.
 * 2. A queued socket is told: the thread that held the CPU flushes the queue once it has let go -
 *    after its call (syscall_submit), before it sleeps inside one (the futex_wait op), after an
 *    interrupt (host_io_set_after_irq). Another thread may be quicker; then that one tells it.
 *    The mark `queued` is taken off before the mask is read, so a change that finds it set is
 *    seen by who is about to read.
 * 3. Telling is: news + 1, then wake whoever sleeps. A sleeper first counts itself, then reads
 *    news, then arms - which polls - and then sleeps only while news is what it read. A change
 *    before the arming is seen by the poll; one after it bumps news, and either the sleeper's
 *    futex sees that, or the waker sees the sleeper.
 * 4. The end of a socket, and of the kernel, are told the same way: the flag first, then news.
 */
#include "readiness.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <time.h>

#include <lklsock.h>

#include "bridge.h"
#include "halves.h"
#include "host/host.h"
#include "shadow.h"
#include "socket.h"
#include "syscall.h"

#define ALWAYS (EPOLLERR | EPOLLHUP)

struct lklsock_socket *readiness_queue;

static struct lklsock_socket *socket_of(struct lkl_watch_state *state)
{
	return (struct lklsock_socket *)((char *)state -
					 offsetof(struct lklsock_socket, watch_state));
}

void readiness_changed(struct lkl_watch_state *state)
{
	struct lklsock_socket *sock = socket_of(state);

	if (__atomic_exchange_n(&sock->queued, true, __ATOMIC_SEQ_CST))
		return;
	socket_ref(sock);
	sock->queue_next = __atomic_load_n(&readiness_queue, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&readiness_queue, &sock->queue_next, sock, true,
					    __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
}

void readiness_wake(struct lklsock_socket *sock)
{
	__atomic_fetch_add(&sock->news, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&sock->sleepers, __ATOMIC_SEQ_CST))
		host_io_wake(&sock->news);
}

void readiness_queue_run(void)
{
	struct lklsock_socket *sock = __atomic_exchange_n(&readiness_queue, NULL, __ATOMIC_ACQUIRE);

	while (sock) {
		struct lklsock_socket *next = sock->queue_next;

		__atomic_store_n(&sock->queued, false, __ATOMIC_SEQ_CST);
		readiness_wake(sock);
		shadow_gain(sock);
		bridge_gain(sock);
		socket_unref(sock);
		sock = next;
	}
}

long readiness_watch(struct lklsock_socket *sock)
{
	void *watch;

	if (sock->watch)
		return 0;
	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	watch = lkl_watch_add(sock->lkl_fd, &sock->watch_state);
	readiness_flush();
	if (!watch)
		return syscall_door_passes() ? -ENOMEM : LKLSOCK_ENOTRUNNING;
	__atomic_store_n(&sock->watch, watch, __ATOMIC_RELEASE);
	return 0;
}

void readiness_unwatch(struct lklsock_socket *sock)
{
	if (!sock->watch || !syscall_door_passes())
		return;
	lkl_watch_del(sock->watch);
	readiness_flush();
}

long readiness_arm(struct lklsock_socket *sock, unsigned events)
{
	bool joined = halves_joined(sock);
	long mask;

	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	mask = lkl_watch_arm(sock->watch, joined ? 0 : events);
	readiness_flush();
	if (mask < 0 || !joined)
		return mask;
	halves_look(sock);
	mask = readiness_mask(sock);
	if (mask & events)
		readiness_disarm(sock);
	return mask;
}

void readiness_disarm(struct lklsock_socket *sock)
{
	__atomic_fetch_sub(&sock->watch_state.armed, 1, __ATOMIC_SEQ_CST);
}

unsigned readiness_mask(const struct lklsock_socket *sock)
{
	return halves_mask(sock, __atomic_load_n(&sock->watch_state.mask, __ATOMIC_SEQ_CST));
}

static bool is_closed(struct lklsock_socket *sock)
{
	return __atomic_load_n(&sock->uses, __ATOMIC_SEQ_CST) & SOCKET_CLOSED;
}

/*
 * Counted among the sleepers. Return: the mask if one of events is up, 0: look again (*err says
 * why it woke), or a refusal.
 */
static long sleep_once(struct lklsock_socket *sock, unsigned events, uint64_t deadline_ns, int *err)
{
	int news = __atomic_load_n(&sock->news, __ATOMIC_SEQ_CST);
	long mask;

	*err = 0;
	if (is_closed(sock))
		return socket_refusal();
	mask = readiness_arm(sock, events);
	if (mask < 0 || mask & events)
		return mask;
	*err = host_io_wait(&sock->news, news, deadline_ns);
	readiness_disarm(sock);
	if (is_closed(sock))
		return socket_refusal();
	mask = readiness_mask(sock);
	return mask & events ? mask : 0;
}

static long wait_entered(struct lklsock_socket *sock, unsigned events, uint64_t deadline_ns)
{
	long mask;
	int err;

	for (;;) {
		__atomic_fetch_add(&sock->sleepers, 1, __ATOMIC_SEQ_CST);
		mask = sleep_once(sock, events, deadline_ns, &err);
		__atomic_fetch_sub(&sock->sleepers, 1, __ATOMIC_SEQ_CST);
		if (mask)
			return mask;
		if (err == -ETIMEDOUT)
			return 0;
		if (err)
			return err;
	}
}

long socket_wait(struct lklsock_socket *sock, unsigned events, uint64_t deadline_ns)
{
	long ret = 0;

	/* A forked child may find the lock held for ever. */
	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	if (!socket_enter(sock))
		return socket_refusal();
	if (!__atomic_load_n(&sock->watch, __ATOMIC_ACQUIRE)) {
		pthread_mutex_lock(&sock->making);
		ret = readiness_watch(sock);
		pthread_mutex_unlock(&sock->making);
	}
	if (!ret)
		ret = wait_entered(sock, events | ALWAYS, deadline_ns);
	socket_leave(sock);
	return ret;
}

long socket_poll(struct lklsock_socket *sock)
{
	struct pollfd pollfd = {
		.fd = sock->lkl_fd,
		.events = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP,
	};
	struct timespec now = { 0 };
	long ret = 0;

	if (!socket_enter(sock))
		return socket_refusal();
	if (!__atomic_load_n(&sock->kernel_left, __ATOMIC_ACQUIRE))
		ret = syscall_do(LKL_NR_ppoll, (long)&pollfd, 1, (long)&now, 0, 0);
	halves_look(sock);
	if (ret >= 0)
		ret = halves_mask(sock, (unsigned short)pollfd.revents);
	socket_leave(sock);
	return ret;
}
