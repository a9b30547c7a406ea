// SPDX-License-Identifier: GPL-2.0-only
/*
 * A lingering close.
 */
#include "linger.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "host/host.h"
#include "socket.h"
#include "syscall.h"

/* An acknowledgement makes no noise, so it is looked for: soon at first, then at leisure. */
#define STEP_FIRST_NS 50000u
#define STEP_LAST_NS 5000000u

/* A signal handler that ran between two sleeps was not noticed. */
#define LOOK_NS 50000000u

void linger_note(struct lklsock_socket *sock, const void *value, socklen_t len)
{
	const struct linger *linger = value;

	if (len >= sizeof(*linger))
		__atomic_store_n(&sock->lingers, linger->l_onoff && linger->l_linger > 0,
				 __ATOMIC_RELAXED);
}

/* Return: the time set, seconds; 0 for none. */
static int linger_seconds(struct lklsock_socket *sock)
{
	struct linger linger = { 0 };
	socklen_t len = sizeof(linger);

	if (syscall_do(LKL_NR_getsockopt, sock->lkl_fd, SOL_SOCKET, SO_LINGER, (long)&linger,
		       (long)&len))
		return 0;
	return linger.l_onoff && linger.l_linger > 0 ? linger.l_linger : 0;
}

static int queue_bytes(struct lklsock_socket *sock, unsigned long request)
{
	int bytes = 0;

	if (syscall_do(LKL_NR_ioctl, sock->lkl_fd, (long)request, (long)&bytes))
		return 0;
	return bytes;
}

/* A reset connection will acknowledge nothing. */
static bool has_failed(struct lklsock_socket *sock)
{
	int error = 0;
	socklen_t len = sizeof(error);

	return syscall_do(LKL_NR_getsockopt, sock->lkl_fd, SOL_SOCKET, SO_ERROR, (long)&error,
			  (long)&len) ||
	       error;
}

/* Return: the time it is over, 0 if there is nothing to wait for. */
static uint64_t linger_begin(struct lklsock_socket *sock)
{
	int seconds = sock->connects ? linger_seconds(sock) : 0;

	/* Unread data makes the kernel reset the connection. */
	if (!seconds || queue_bytes(sock, SIOCINQ) ||
	    syscall_do(LKL_NR_shutdown, sock->lkl_fd, SHUT_WR))
		return 0;
	return host_clock_monotonic() + (uint64_t)seconds * 1000000000u;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static long linger_entered(struct lklsock_socket *sock)
{
	uint64_t look = host_clock_monotonic() + LOOK_NS;
	uint64_t until = __atomic_load_n(&sock->linger_until, __ATOMIC_RELAXED);
	uint64_t step = STEP_FIRST_NS;
	int never_woken = 0;

	if (!until)
		until = linger_begin(sock);
	__atomic_store_n(&sock->linger_until, until, __ATOMIC_RELAXED);
	while (until && queue_bytes(sock, SIOCOUTQ) && !has_failed(sock)) {
		uint64_t now = host_clock_monotonic();

		if (now >= until)
			break;
		if (now >= look)
			return -EAGAIN;
		if (host_futex_wait(&never_woken, 0, earlier(now + step, until)) == -EINTR)
			return -EINTR;
		if (step < STEP_LAST_NS)
			step *= 2;
	}
	return 0;
}

long socket_linger(struct lklsock_socket *sock)
{
	long ret;

	if (!__atomic_load_n(&sock->lingers, __ATOMIC_RELAXED))
		return 0;
	if (!syscall_door_passes() || !socket_enter(sock))
		return 0;
	ret = linger_entered(sock);
	socket_leave(sock);
	return ret;
}

void linger_disarm(struct lklsock_socket *sock)
{
	const struct linger off = { 0 };

	if (linger_seconds(sock))
		syscall_do(LKL_NR_setsockopt, sock->lkl_fd, SOL_SOCKET, SO_LINGER, (long)&off,
			   sizeof(off));
}
