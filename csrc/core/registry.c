// SPDX-License-Identifier: GPL-2.0-only
/*
 * The list of sockets that are not finished.
 */
#include "registry.h"

#include <pthread.h>
#include <stddef.h>

#include "bridge.h"
#include "host/host.h"
#include "host/pair.h"
#include "readiness.h"
#include "shadow.h"
#include "socket.h"

/* Other threads are on their way out: nobody blocks inside the kernel, and sleepers have been woken. */
#define LEAVE_NS 100000000u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct lklsock_socket *sockets;

void registry_add(struct lklsock_socket *sock)
{
	pthread_mutex_lock(&lock);
	sock->next = sockets;
	sock->prev = &sockets;
	if (sockets)
		sockets->prev = &sock->next;
	sockets = sock;
	pthread_mutex_unlock(&lock);
}

void registry_remove(struct lklsock_socket *sock)
{
	pthread_mutex_lock(&lock);
	*sock->prev = sock->next;
	if (sock->next)
		sock->next->prev = sock->prev;
	pthread_mutex_unlock(&lock);
}

/* Return: one that nobody has closed yet, with a memory reference, or NULL. */
static struct lklsock_socket *find_open(void)
{
	struct lklsock_socket *sock;

	pthread_mutex_lock(&lock);
	for (sock = sockets; sock; sock = sock->next)
		if (!(__atomic_load_n(&sock->uses, __ATOMIC_RELAXED) & SOCKET_CLOSED))
			break;
	if (sock)
		socket_ref(sock);
	pthread_mutex_unlock(&lock);
	return sock;
}

/* Return: any, with a memory reference, or NULL. */
static struct lklsock_socket *find_any(void)
{
	struct lklsock_socket *sock;

	pthread_mutex_lock(&lock);
	sock = sockets;
	if (sock)
		socket_ref(sock);
	pthread_mutex_unlock(&lock);
	return sock;
}

/* Return: false if nobody does any more. */
static bool use_too(struct lklsock_socket *sock)
{
	int users = __atomic_load_n(&sock->users, __ATOMIC_RELAXED);

	while (users && !__atomic_compare_exchange_n(&sock->users, &users, users + 1, true,
						     __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		;
	return users;
}

struct lklsock_socket *registry_find(int host_fd)
{
	struct lklsock_socket *sock;
	struct host_pair id;

	if (!host_pair_identify(host_fd, &id))
		return NULL;
	pthread_mutex_lock(&lock);
	for (sock = sockets; sock && !shadow_is(sock, &id); sock = sock->next)
		;
	if (sock && (socket_lkl_fd(sock) < 0 || !use_too(sock)))
		sock = NULL;
	pthread_mutex_unlock(&lock);
	return sock;
}

void registry_close_all(uint64_t deadline_ns)
{
	uint64_t now = host_clock_monotonic();
	uint64_t patience = deadline_ns < now + LEAVE_NS ? deadline_ns : now + LEAVE_NS;
	struct lklsock_socket *sock;

	while ((sock = find_open())) {
		socket_close_at_halt(sock);
		socket_unref(sock);
	}
	/* Others may be in the middle of closing some. */
	while ((sock = find_any()) && host_clock_monotonic() < patience) {
		socket_wait_finished(sock, patience);
		socket_unref(sock);
	}
	if (sock)
		socket_unref(sock);
}

void registry_end_all(void)
{
	pthread_mutex_lock(&lock);
	for (struct lklsock_socket *sock = sockets; sock; sock = sock->next) {
		readiness_wake(sock);
		shadow_hang_up(sock);
		bridge_hang_up(sock);
	}
	pthread_mutex_unlock(&lock);
}

void registry_fork_prepare(void)
{
	pthread_mutex_lock(&lock);
}

void registry_fork_parent(void)
{
	pthread_mutex_unlock(&lock);
}

void registry_fork_child(void)
{
	for (struct lklsock_socket *sock = sockets; sock; sock = sock->next) {
		shadow_forget(sock);
		bridge_forget(sock);
	}
	pthread_mutex_unlock(&lock);
}
