// SPDX-License-Identifier: GPL-2.0-only
/*
 * Life and death of a socket.
 */
#include "socket.h"

#include <errno.h>
#include <stdlib.h>

#include "bridge.h"
#include "halves.h"
#include "host/host.h"
#include "life.h"
#include "linger.h"
#include "readiness.h"
#include "registry.h"
#include "shadow.h"
#include "syscall.h"

/*
 * close() waits for other threads to leave, so that what it frees (a port) is free when it
 * returns. They are on their way: nobody blocks inside the kernel, and sleepers have been woken.
 * Only a signal handler that closes what its own thread sleeps on waits in vain, for so long.
 */
#define LEAVE_NS 1000000000u

long socket_refusal(void)
{
	return syscall_door_passes() ? -EBADF : LKLSOCK_ENOTRUNNING;
}

void socket_ref(struct lklsock_socket *sock)
{
	__atomic_fetch_add(&sock->refs, 1, __ATOMIC_RELAXED);
}

void socket_unref(struct lklsock_socket *sock)
{
	if (__atomic_sub_fetch(&sock->refs, 1, __ATOMIC_ACQ_REL))
		return;
	shadow_free(sock->shadow);
	halves_free(sock->host_half);
	bridge_free(sock->bridge);
	pthread_mutex_destroy(&sock->making);
	free(sock);
}

long socket_adopt(int lkl_fd, int type, struct lklsock_socket **out)
{
	struct lklsock_socket *sock = calloc(1, sizeof(*sock));

	if (!sock) {
		syscall_do(LKL_NR_close, lkl_fd);
		return -ENOMEM;
	}
	sock->refs = 2;
	sock->users = 1;
	sock->lkl_fd = lkl_fd;
	sock->connects = type == SOCK_STREAM || type == SOCK_SEQPACKET;
	sock->engaged = !sock->connects;
	pthread_mutex_init(&sock->making, NULL);
	registry_add(sock);
	*out = sock;
	return 0;
}

long socket_open(struct lklsock_task *task, int family, int type, int protocol,
		 struct lklsock_socket **out)
{
	long fd = syscall_as(task, LKL_NR_socket, family, type | SOCK_NONBLOCK | SOCK_CLOEXEC,
			     protocol);

	if (fd < 0)
		return fd;
	return socket_adopt((int)fd, type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC), out);
}

/* Nobody is inside any more, and nobody gets in. The registry's reference holds it meanwhile. */
static void socket_finish(struct lklsock_socket *sock)
{
	syscall_closing_begin();
	halves_close(sock);
	bridge_close(sock);
	shadow_close(sock);
	if (__atomic_load_n(&sock->lingers, __ATOMIC_RELAXED))
		linger_disarm(sock);
	readiness_unwatch(sock);
	syscall_do(LKL_NR_close, sock->lkl_fd);
	syscall_closing_end();
	registry_remove(sock);
	__atomic_store_n(&sock->finish, SOCKET_FINISHED, __ATOMIC_RELEASE);
	host_futex_wake(&sock->finish, INT32_MAX);
	socket_unref(sock);
}

void socket_left(struct lklsock_socket *sock, unsigned uses)
{
	int in_use = SOCKET_IN_USE;

	if (uses == SOCKET_CLOSED &&
	    __atomic_compare_exchange_n(&sock->finish, &in_use, SOCKET_FINISHING, false,
					__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		socket_finish(sock);
}

void socket_wait_finished(struct lklsock_socket *sock, uint64_t deadline_ns)
{
	int finish = __atomic_load_n(&sock->finish, __ATOMIC_ACQUIRE);

	while (finish != SOCKET_FINISHED &&
	       host_futex_wait(&sock->finish, finish, deadline_ns) != -ETIMEDOUT)
		finish = __atomic_load_n(&sock->finish, __ATOMIC_ACQUIRE);
}

/* leave_ns: how long to wait for others. */
static long close_entered(struct lklsock_socket *sock, uint64_t leave_ns)
{
	unsigned uses = __atomic_fetch_or(&sock->uses, SOCKET_CLOSED, __ATOMIC_SEQ_CST);
	bool mine = !(uses & SOCKET_CLOSED);

	if (mine)
		readiness_wake(sock);
	/* A reference of its own, for the last use may be the last user's. */
	socket_ref(sock);
	socket_leave(sock);
	if (mine && leave_ns)
		socket_wait_finished(sock, host_clock_monotonic() + leave_ns);
	socket_unref(sock);
	return mine ? 0 : socket_refusal();
}

/* A forked child's socket is the parent's. */
static bool may_close(void)
{
	return life_state() != LKLSOCK_FORKED;
}

long socket_close(struct lklsock_socket *sock)
{
	long ret;

	if (!may_close())
		return 0;
	ret = socket_enter(sock) ? close_entered(sock, LEAVE_NS) : socket_refusal();
	/* Halt has closed it, most likely. */
	return ret == LKLSOCK_ENOTRUNNING ? 0 : ret;
}

void socket_close_at_halt(struct lklsock_socket *sock)
{
	if (socket_enter(sock))
		close_entered(sock, 0);
}

void socket_get(struct lklsock_socket *sock)
{
	__atomic_fetch_add(&sock->users, 1, __ATOMIC_RELAXED);
}

static void user_gone(struct lklsock_socket *sock, bool may_wait)
{
	if (__atomic_sub_fetch(&sock->users, 1, __ATOMIC_ACQ_REL))
		return;
	if (may_close() && socket_enter(sock))
		close_entered(sock, may_wait ? LEAVE_NS : 0);
	socket_unref(sock);
}

void socket_put(struct lklsock_socket *sock)
{
	user_gone(sock, true);
}

void socket_put_from_poller(struct lklsock_socket *sock)
{
	user_gone(sock, false);
}

int socket_lkl_fd(struct lklsock_socket *sock)
{
	return __atomic_load_n(&sock->uses, __ATOMIC_ACQUIRE) & SOCKET_CLOSED ? -EBADF :
										sock->lkl_fd;
}
