// SPDX-License-Identifier: GPL-2.0-only
/*
 * Joining and leaving the halves of a socket, and watching the host's.
 *
 * The host half's gains come from the I/O service, one bit at a time: watched is what was not up
 * when it was polled last. Losses come from the program's own calls on it, after which it says so
 * (socket_refresh), and from a sleeper that looks before it sleeps. Every look polls afresh, under
 * the half's lock, so the last one is right.
 */
#include "halves.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "host/host.h"
#include "readiness.h"
#include "shadow.h"
#include "socket.h"
#include "syscall.h"

#define WATCHED (EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP)

struct host_half {
	struct lklsock_socket *sock; /* the source has a memory reference on it */
	struct host_io_source source;
	pthread_mutex_t lock;
	unsigned mask; /* atomic; lock to write */
	bool joined;   /* atomic; lock to write; who ends it deletes the source */
};

static struct host_half *half_of(const struct lklsock_socket *sock)
{
	return __atomic_load_n(&sock->host_half, __ATOMIC_ACQUIRE);
}

bool halves_joined(const struct lklsock_socket *sock)
{
	const struct host_half *half = half_of(sock);

	return half && __atomic_load_n(&half->joined, __ATOMIC_SEQ_CST);
}

unsigned halves_mask(const struct lklsock_socket *sock, unsigned kernel_mask)
{
	unsigned host_mask;

	if (!halves_joined(sock))
		return kernel_mask;
	host_mask = __atomic_load_n(&half_of(sock)->mask, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&sock->kernel_left, __ATOMIC_ACQUIRE))
		return host_mask;
	return ((kernel_mask | host_mask) & ~EPOLLOUT) | (kernel_mask & host_mask & EPOLLOUT);
}

static void look(struct host_half *half)
{
	pthread_mutex_lock(&half->lock);
	if (half->joined) {
		unsigned mask = host_poll(half->source.fd);

		__atomic_store_n(&half->mask, mask, __ATOMIC_SEQ_CST);
		/* These two are told unasked: watching would not end. A call takes them away. */
		if (!(mask & (EPOLLERR | EPOLLHUP)))
			host_io_arm(&half->source, WATCHED & ~mask);
	}
	pthread_mutex_unlock(&half->lock);
}

void halves_look(struct lklsock_socket *sock)
{
	struct host_half *half = half_of(sock);

	if (half)
		look(half);
}

static unsigned half_event(struct host_io_source *source, uint32_t epoll_events)
{
	struct host_half *half =
		(struct host_half *)((char *)source - offsetof(struct host_half, source));

	(void)epoll_events;
	look(half);
	readiness_wake(half->sock);
	shadow_gain(half->sock);
	return 0;
}

/* By the thread whose call changed something. */
static void show(struct lklsock_socket *sock, unsigned came_short)
{
	readiness_wake(sock);
	if (__atomic_load_n(&sock->shadow, __ATOMIC_ACQUIRE))
		shadow_after_call(sock, came_short);
}

/* making held. Return: NULL when there is no memory. */
static struct host_half *half_make(struct lklsock_socket *sock)
{
	struct host_half *half = sock->host_half;

	if (half)
		return half;
	half = calloc(1, sizeof(*half));
	if (!half)
		return NULL;
	half->sock = sock;
	half->source.event = half_event;
	half->source.borrowed = true;
	pthread_mutex_init(&half->lock, NULL);
	__atomic_store_n(&sock->host_half, half, __ATOMIC_RELEASE);
	return half;
}

/* making held. */
static long half_join(struct lklsock_socket *sock, int host_fd)
{
	struct host_half *half = half_make(sock);
	long err;

	if (!half)
		return -ENOMEM;
	if (half->joined)
		return -EBUSY;
	half->source.fd = host_fd;
	err = host_io_add(&half->source);
	if (err)
		return err;
	socket_ref(sock);
	pthread_mutex_lock(&half->lock);
	__atomic_store_n(&half->joined, true, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&half->lock);
	/* Who joins has connected it, or listens. */
	__atomic_store_n(&sock->engaged, true, __ATOMIC_SEQ_CST);
	look(half);
	return 0;
}

long socket_join_host(struct lklsock_socket *sock, int host_fd)
{
	long ret;

	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	/* To the I/O service it would be a source without a descriptor. */
	if (host_fd < 0)
		return -EBADF;
	if (!socket_enter(sock))
		return socket_refusal();
	pthread_mutex_lock(&sock->making);
	ret = half_join(sock, host_fd);
	pthread_mutex_unlock(&sock->making);
	if (!ret)
		show(sock, 0);
	socket_leave(sock);
	return ret;
}

void halves_close(struct lklsock_socket *sock)
{
	struct host_half *half = half_of(sock);
	bool mine;

	if (!half)
		return;
	pthread_mutex_lock(&half->lock);
	mine = half->joined;
	__atomic_store_n(&half->joined, false, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&half->lock);
	if (!mine)
		return;
	host_io_del(&half->source);
	socket_unref(sock);
}

long socket_leave_host(struct lklsock_socket *sock)
{
	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	if (!socket_enter(sock))
		return socket_refusal();
	pthread_mutex_lock(&sock->making);
	halves_close(sock);
	pthread_mutex_unlock(&sock->making);
	show(sock, 0);
	socket_leave(sock);
	return 0;
}

/*
 * The file of lkl_fd takes the place of the kernel half. The old one's last reference goes in the
 * call, so that its port is free after it.
 */
static long kernel_half_set(struct lklsock_socket *sock, int lkl_fd, bool watched)
{
	long ret;

	pthread_mutex_lock(&sock->making);
	ret = watched ? 0 : readiness_watch(sock);
	if (!ret) {
		if (sock->watch)
			lkl_watch_move(sock->watch, -1);
		ret = syscall_do(LKL_NR_dup3, lkl_fd, sock->lkl_fd, O_CLOEXEC);
		if (sock->watch && (watched || ret < 0))
			lkl_watch_move(sock->watch, sock->lkl_fd);
		readiness_flush();
	}
	pthread_mutex_unlock(&sock->making);
	return ret < 0 ? ret : 0;
}

long socket_leave_kernel(struct lklsock_socket *sock)
{
	long path, ret;

	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	if (!socket_enter(sock))
		return socket_refusal();
	/* Whatever is called on it, but close, it says -EBADF. */
	ret = path = syscall_do(LKL_NR_openat, AT_FDCWD, (long)"/", O_PATH | O_CLOEXEC);
	if (path >= 0) {
		ret = kernel_half_set(sock, (int)path, false);
		syscall_do(LKL_NR_close, path);
	}
	if (!ret) {
		__atomic_store_n(&sock->kernel_left, true, __ATOMIC_SEQ_CST);
		show(sock, 0);
	}
	socket_leave(sock);
	return ret;
}

long socket_replace_kernel(struct lklsock_socket *sock, struct lklsock_socket *other)
{
	long ret;

	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	if (!socket_enter(sock))
		return socket_refusal();
	if (socket_enter(other)) {
		ret = kernel_half_set(sock, other->lkl_fd, true);
		__atomic_store_n(&sock->lingers, __atomic_load_n(&other->lingers, __ATOMIC_RELAXED),
				 __ATOMIC_RELAXED);
		socket_leave(other);
	} else {
		ret = socket_refusal();
	}
	if (!ret)
		show(sock, 0);
	socket_leave(sock);
	return ret;
}

long socket_refresh(struct lklsock_socket *sock, unsigned came_short)
{
	/* Nobody sees it, and who sleeps looks for himself. */
	if (!__atomic_load_n(&sock->shadow, __ATOMIC_ACQUIRE))
		return 0;
	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	if (!socket_enter(sock))
		return socket_refusal();
	halves_look(sock);
	shadow_after_call(sock, came_short);
	socket_leave(sock);
	return 0;
}

void halves_free(struct host_half *half)
{
	if (!half)
		return;
	pthread_mutex_destroy(&half->lock);
	free(half);
}
