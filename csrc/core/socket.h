/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A socket of the kernel as the host half holds it: who refers to it, who is
 * using it right now, and its end.
 *
 *	users	references handed out, and the shadow's while the program holds its end; none left: closed
 *	uses	calls and sleepers in flight; the kernel's socket is closed when the last of them has left,
 *		so that no call meets a descriptor that is someone else's by now
 *	refs	memory: one for all users, one for the registry until it is finished, one for being on the
 *		queue of news (readiness.c), one for the shadow's end, one for the watch of the host half
 *
 *	open --socket_close()--> CLOSED, uses > 0 --the last use leaves--> finished
 *	                         CLOSED, uses = 0 ---------------------->
 *
 * No lock here is held while entering the kernel, for a dying kernel takes them to wake sleepers.
 */
#ifndef CORE_SOCKET_H
#define CORE_SOCKET_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <lkl_host.h>
#include <lklsock.h>

struct shadow;
struct host_half;
struct bridge;

#define SOCKET_CLOSED (1u << 31) /* in uses */

/* finish: how far the closing of a closed socket is. */
enum { SOCKET_IN_USE, SOCKET_FINISHING, SOCKET_FINISHED };

struct lklsock_socket {
	int refs, users; /* atomic */
	unsigned uses;   /* atomic */
	int finish;      /* atomic, futex */
	int lkl_fd;
	bool connects;         /* a connection-based type */
	bool engaged;          /* its HUP means something (shadow.c); atomic */
	bool lingers;          /* SO_LINGER with a time was set; a hint, atomic */
	uint64_t linger_until; /* of a close that has begun to linger, or 0; atomic */

	void *watch; /* made by the first who needs it; atomic */
	struct lkl_watch_state watch_state;
	int news;     /* futex: counts changes of readiness, and the end; atomic */
	int sleepers; /* on news; atomic */
	bool queued;  /* on the queue of news; atomic */
	struct lklsock_socket *queue_next;

	struct host_half *host_half; /* halves.c; made by the first who joins one; atomic */
	bool kernel_left;            /* atomic */

	struct shadow *shadow; /* atomic */
	struct bridge *bridge; /* atomic */
	pthread_mutex_t
		making; /* of watch, halves, shadow and bridge; the kernel may be entered with it held */

	struct lklsock_socket *next, **prev; /* registry; its lock */
};

/* Takes over an open descriptor, non-blocking. On failure it is closed. Return: 0 or -ENOMEM. */
long socket_adopt(int lkl_fd, int type, struct lklsock_socket **out);

long socket_open(struct lklsock_task *task, int family, int type, int protocol,
		 struct lklsock_socket **out);
void socket_get(struct lklsock_socket *sock);
void socket_put(struct lklsock_socket *sock);
long socket_close(struct lklsock_socket *sock);
int socket_lkl_fd(struct lklsock_socket *sock);

/* Like socket_put(), for who may not wait for others to leave: a poller. */
void socket_put_from_poller(struct lklsock_socket *sock);
/* Like socket_close(), for halt: waits for nobody. */
void socket_close_at_halt(struct lklsock_socket *sock);

/* Until a closed socket is finished, or the deadline. */
void socket_wait_finished(struct lklsock_socket *sock, uint64_t deadline_ns);

void socket_ref(struct lklsock_socket *sock);
void socket_unref(struct lklsock_socket *sock);

/* Why a call on a socket that cannot be entered fails: -EBADF or LKLSOCK_ENOTRUNNING. */
long socket_refusal(void);

/* The end of a use of a closed socket. uses: how many were left. */
void socket_left(struct lklsock_socket *sock, unsigned uses);

static inline void socket_leave(struct lklsock_socket *sock)
{
	unsigned uses = __atomic_sub_fetch(&sock->uses, 1, __ATOMIC_ACQ_REL);

	if (__builtin_expect(uses & SOCKET_CLOSED, 0))
		socket_left(sock, uses);
}

/* Begins a use. Return: false if it is closed; then there is nothing to leave. */
static inline bool socket_enter(struct lklsock_socket *sock)
{
	unsigned uses = __atomic_fetch_add(&sock->uses, 1, __ATOMIC_ACQUIRE);

	if (__builtin_expect(!(uses & SOCKET_CLOSED), 1))
		return true;
	socket_leave(sock);
	return false;
}

#endif
