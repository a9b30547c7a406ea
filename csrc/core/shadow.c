// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadows: what is shown of a socket's readiness, and to whom the socket then belongs.
 *
 *	made --------> SHOWING --HUP--> HUNG UP ------> GONE (our end closed)
 *	                  |   program closes its end      ^
 *	                  +-------------------------------+
 *
 * Gains are shown by whoever learns of them first. Losses come only from calls on the socket, and
 * the thread that made the call takes them back, on the program's end. A mask that is out of date
 * by then is no harm: each change is followed by another look, and all looks are taken under the
 * shadow's lock.
 *
 * An edge would be missing if readiness went and came back before the caller took it back. So
 * after a call that came up short, what is still (again) up is taken back and shown anew.
 *
 * While the program holds its end, the shadow counts as a user of the socket: a detached
 * descriptor keeps its connection. Both kinds of hang-up reach our end as EPOLLHUP, so that one
 * place, shadow_event(), ends it.
 *
 * HUP of a connection-based socket counts only once it was told to connect or listen ("engaged"):
 * before, it means "not connected yet", and what is hung up stays so.
 */
#include "shadow.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "host/host.h"
#include "host/pair.h"
#include "readiness.h"
#include "socket.h"
#include "syscall.h"

struct shadow {
	struct lklsock_socket *sock;
	pthread_mutex_t lock;
	struct host_pair pair;        /* lock */
	unsigned shown;               /* EPOLLIN, EPOLLPRI, EPOLLOUT, EPOLLRDHUP, EPOLLHUP; lock */
	bool urgent_ignored;          /* the program was shown it, and reads on; lock */
	struct host_io_source source; /* of our end; has a memory reference on the socket */
	bool watched; /* the source is in use; atomic, who takes it deletes the source */
	bool is_user; /* of the socket; atomic, who takes it gives the user back */
};

/* What a poller shall see. */
static unsigned wanted(const struct lklsock_socket *sock)
{
	unsigned mask = readiness_mask(sock);
	unsigned want = mask & (EPOLLIN | EPOLLPRI | EPOLLOUT);

	if (mask & EPOLLERR)
		want |= EPOLLIN | EPOLLOUT;
	if (__atomic_load_n(&sock->engaged, __ATOMIC_ACQUIRE))
		want |= mask & (EPOLLRDHUP | EPOLLHUP);
	return want;
}

/* lock held. */
static void show_hang_up(struct shadow *shadow)
{
	/* What is left in flight to us makes the program's end see an error as well. */
	if (!(readiness_mask(shadow->sock) & EPOLLERR))
		host_pair_show_writable(&shadow->pair);
	host_pair_show_hang_up(&shadow->pair);
	shadow->shown |= EPOLLHUP;
}

/* lock held. */
static void show_gains(struct shadow *shadow, unsigned gains)
{
	if (gains & EPOLLPRI)
		host_pair_show_urgent(&shadow->pair);
	if (gains & EPOLLRDHUP)
		host_pair_show_end(&shadow->pair);
	else if (gains & EPOLLIN)
		host_pair_show_readable(&shadow->pair);
	if (gains & EPOLLOUT)
		host_pair_show_writable(&shadow->pair);
	shadow->shown |= gains;
}

/* lock held. */
static void take_back(struct shadow *shadow, unsigned losses)
{
	if (losses & EPOLLPRI && host_pair_hide_urgent(&shadow->pair))
		shadow->shown &= ~(EPOLLIN | EPOLLPRI);
	/* At the end of file it is readable for good. */
	if (shadow->shown & EPOLLRDHUP)
		losses &= ~EPOLLIN;
	if (losses & EPOLLIN && host_pair_hide_readable(&shadow->pair))
		shadow->shown &= ~EPOLLIN;
	if (losses & EPOLLOUT && host_pair_hide_writable(&shadow->pair))
		shadow->shown &= ~EPOLLOUT;
}

/*
 * Urgent data lasts until somebody reads it, and while it is shown the program's end is readable. A
 * program that has no use for it would be told so for ever: once is enough. lock held. Return: want.
 */
static unsigned urgent_once(struct shadow *shadow, unsigned want, unsigned came_short)
{
	if (!(want & EPOLLPRI))
		shadow->urgent_ignored = false;
	else if (shadow->shown & EPOLLPRI && came_short & EPOLLIN)
		shadow->urgent_ignored = true;
	return shadow->urgent_ignored ? want & ~EPOLLPRI : want;
}

static void look(struct shadow *shadow, bool by_caller, unsigned came_short)
{
	unsigned want;

	pthread_mutex_lock(&shadow->lock);
	want = urgent_once(shadow, wanted(shadow->sock), came_short);
	if (shadow->pair.ours < 0 || shadow->shown & EPOLLHUP) {
		/* It is over. */
	} else if (want & EPOLLHUP) {
		show_hang_up(shadow);
	} else {
		if (by_caller)
			take_back(shadow, shadow->shown & (~want | came_short));
		show_gains(shadow, want & ~shadow->shown);
	}
	pthread_mutex_unlock(&shadow->lock);
}

static struct shadow *shadow_of(struct lklsock_socket *sock)
{
	return __atomic_load_n(&sock->shadow, __ATOMIC_ACQUIRE);
}

void shadow_after_call(struct lklsock_socket *sock, unsigned came_short)
{
	look(shadow_of(sock), true, came_short);
}

void shadow_gain(struct lklsock_socket *sock)
{
	if (shadow_of(sock))
		look(shadow_of(sock), false, 0);
}

void shadow_hang_up(struct lklsock_socket *sock)
{
	struct shadow *shadow = shadow_of(sock);

	if (!shadow)
		return;
	pthread_mutex_lock(&shadow->lock);
	if (shadow->pair.ours >= 0)
		show_hang_up(shadow);
	pthread_mutex_unlock(&shadow->lock);
}

static void end_close(struct shadow *shadow)
{
	pthread_mutex_lock(&shadow->lock);
	host_pair_close(&shadow->pair);
	pthread_mutex_unlock(&shadow->lock);
}

static bool take(bool *flag)
{
	return __atomic_exchange_n(flag, false, __ATOMIC_ACQ_REL);
}

/* Our end is hung up: by us, or by the program, which closed its end. On a polling thread. */
static unsigned shadow_event(struct host_io_source *source, uint32_t epoll_events)
{
	struct shadow *shadow = (struct shadow *)((char *)source - offsetof(struct shadow, source));
	struct lklsock_socket *sock = shadow->sock;

	if (!(epoll_events & EPOLLHUP)) {
		host_io_arm(source, EPOLLHUP);
		return 0;
	}
	if (!take(&shadow->watched))
		return 0; /* shadow_close() is at it, and waits for us */
	host_io_del(source);
	end_close(shadow);
	if (take(&shadow->is_user))
		socket_put_from_poller(sock);
	socket_unref(sock);
	return 0;
}

void shadow_close(struct lklsock_socket *sock)
{
	struct shadow *shadow = shadow_of(sock);

	if (!shadow)
		return;
	if (take(&shadow->watched)) {
		host_io_del(&shadow->source);
		socket_unref(sock);
	}
	end_close(shadow);
	if (take(&shadow->is_user))
		socket_put_from_poller(sock);
}

bool shadow_is(const struct lklsock_socket *sock, const struct host_pair *id)
{
	const struct shadow *shadow = __atomic_load_n(&sock->shadow, __ATOMIC_ACQUIRE);

	return shadow && host_pair_same(&shadow->pair, id);
}

void shadow_forget(struct lklsock_socket *sock)
{
	struct shadow *shadow = shadow_of(sock);

	if (shadow)
		shadow->pair.ours = -1;
}

void shadow_free(struct shadow *shadow)
{
	if (!shadow)
		return;
	pthread_mutex_destroy(&shadow->lock);
	free(shadow);
}

/* Return: a shadow that shows nothing yet, or NULL and *err. */
static struct shadow *shadow_make(struct lklsock_socket *sock, int *err)
{
	struct shadow *shadow = calloc(1, sizeof(*shadow));

	*err = -ENOMEM;
	if (!shadow)
		return NULL;
	shadow->sock = sock;
	shadow->shown = EPOLLOUT;
	*err = host_pair_open(&shadow->pair);
	if (*err) {
		free(shadow);
		return NULL;
	}
	shadow->source.fd = shadow->pair.ours;
	shadow->source.event = shadow_event;
	*err = host_io_add(&shadow->source);
	if (*err) {
		host_pair_discard(&shadow->pair);
		free(shadow);
		return NULL;
	}
	pthread_mutex_init(&shadow->lock, NULL);
	return shadow;
}

/* making held. */
static long shadow_start(struct lklsock_socket *sock)
{
	struct shadow *shadow;
	long mask = readiness_watch(sock);
	int err;

	if (mask)
		return mask;
	shadow = shadow_make(sock, &err);
	if (!shadow)
		return err;
	/* For as long as the socket lives. */
	mask = readiness_arm(sock, 0);
	if (mask < 0) {
		host_io_del(&shadow->source);
		host_pair_discard(&shadow->pair);
		shadow_free(shadow);
		return mask;
	}
	socket_ref(sock);
	shadow->watched = true;
	socket_get(sock);
	shadow->is_user = true;
	/* Who changes the mask from now on sees the shadow, or we see the change. */
	(void)__atomic_exchange_n(&sock->shadow, shadow, __ATOMIC_SEQ_CST);
	look(shadow, true, 0);
	host_io_arm(&shadow->source, EPOLLHUP);
	return 0;
}

static int number_of(struct shadow *shadow)
{
	int number;

	pthread_mutex_lock(&shadow->lock);
	number = shadow->pair.program;
	pthread_mutex_unlock(&shadow->lock);
	return number;
}

long socket_shadow(struct lklsock_socket *sock)
{
	long ret = 0;

	/* A forked child may find the lock held for ever. */
	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	if (!socket_enter(sock))
		return socket_refusal();
	pthread_mutex_lock(&sock->making);
	if (!sock->shadow)
		ret = shadow_start(sock);
	if (!ret)
		ret = number_of(sock->shadow);
	pthread_mutex_unlock(&sock->making);
	socket_leave(sock);
	return ret;
}

long socket_shadow_move(struct lklsock_socket *sock, int host_fd)
{
	struct shadow *shadow = shadow_of(sock);
	struct host_pair id;

	/* A forked child may find the lock held for ever. */
	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	if (!shadow || !host_pair_identify(host_fd, &id) || !host_pair_same(&shadow->pair, &id))
		return -EBADF;
	pthread_mutex_lock(&shadow->lock);
	shadow->pair.program = host_fd;
	pthread_mutex_unlock(&shadow->lock);
	return 0;
}
