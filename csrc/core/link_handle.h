/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the API hands out for a link: one handle a layer, and the list of them.
 *
 * A handle is given back by one link_handle_close() or link_handle_release(). Closing the outermost layer closes all; the
 * handle of an inner one then only remembers the counters, until it is given back too.
 *
 *	open --> loose --attach--> device --close--> closed
 *	           |  wrap: a new outermost layer; this one is inner from then on
 *	           +--close--> closed
 *
 * Two locks: the list's, for the list and the layers, and each handle's device_lock inside of it,
 * which a poller takes to reach the net device: once it is detached no event finds it any more.
 * The kernel is entered with neither.
 */
#ifndef CORE_LINK_HANDLE_H
#define CORE_LINK_HANDLE_H

#include <pthread.h>
#include <stdbool.h>

#include <lklsock.h>

#include "link/link.h"

struct lklsock_link {
	struct link *link; /* NULL when closed; list lock */
	struct lklsock_link *inner, *outer;
	enum { LINK_LOOSE, LINK_ATTACHING, LINK_ATTACHED } attachment; /* list lock */
	bool given_back;           /* by its owner, while it is wrapped or attached */
	struct link_counters last; /* of a closed link */

	struct link_upper upper;
	pthread_mutex_t device_lock;
	void *device; /* device_lock */
	bool carrier; /* of the link, as told last; device_lock */

	struct lklsock_link *next, **prev;
};

/* The list's lock. */
void link_handles_lock(void);
void link_handles_unlock(void);

/* Return: a handle of nothing yet, or NULL. */
struct lklsock_link *link_handle_alloc(void);
void link_handle_free(struct lklsock_link *handle);
/* Puts it on the list. List lock held. */
void link_handle_publish(struct lklsock_link *handle, struct link *link);
/* Neither wrapped, attached, nor closed. List lock held. */
bool link_handle_is_loose(const struct lklsock_link *handle);

/* Return: 0, or -EBUSY while it is being attached. */
long link_handle_close(struct lklsock_link *handle);
/* Like it, but an attached link is closed when the kernel ends. */
long link_handle_release(struct lklsock_link *handle);

/* Some device's link leads to somebody. */
bool link_handles_any_carrier(void);
/* No link holds a frame back. */
bool link_handles_idle(void);
/* The kernel is dead and the I/O service stopped: closes all links. */
void link_handles_close_all(void);

/* fork(2): the child's copies of descriptors are closed by the I/O service; there all links are dead. */
void link_handles_fork_prepare(void);
void link_handles_fork_parent(void);
void link_handles_fork_child(void);

#endif
