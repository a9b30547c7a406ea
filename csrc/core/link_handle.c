// SPDX-License-Identifier: GPL-2.0-only
/*
 * The handles of links: their list, their layers, their end.
 */
#include "link_handle.h"

#include <errno.h>
#include <stdlib.h>

#include "link/frame.h"

#include "link_device.h"

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct lklsock_link *handles;

void link_handles_lock(void)
{
	pthread_mutex_lock(&list_lock);
}

void link_handles_unlock(void)
{
	pthread_mutex_unlock(&list_lock);
}

struct lklsock_link *link_handle_alloc(void)
{
	struct lklsock_link *handle = calloc(1, sizeof(*handle));

	if (!handle)
		return NULL;
	handle->upper.event = link_device_event;
	pthread_mutex_init(&handle->device_lock, NULL);
	return handle;
}

void link_handle_free(struct lklsock_link *handle)
{
	pthread_mutex_destroy(&handle->device_lock);
	free(handle);
}

void link_handle_publish(struct lklsock_link *handle, struct link *link)
{
	handle->link = link;
	handle->next = handles;
	handle->prev = &handles;
	if (handles)
		handles->prev = &handle->next;
	handles = handle;
}

/* List lock held. */
static void list_remove(struct lklsock_link *handle)
{
	*handle->prev = handle->next;
	if (handle->next)
		handle->next->prev = handle->prev;
}

bool link_handle_is_loose(const struct lklsock_link *handle)
{
	return handle->link && !handle->outer && handle->attachment == LINK_LOOSE;
}

/* List lock held. Marks a layer and those in it closed. Return: the outermost link, to be closed. */
static struct link *layers_end(struct lklsock_link *handle)
{
	struct link *link = handle->link;

	for (struct lklsock_link *layer = handle; layer; layer = layer->inner) {
		layer->last = *link_counters(layer->link);
		layer->link = NULL;
	}
	return link;
}

/* List lock held. The outermost layer goes, and inner ones that were given back. */
static void layers_free(struct lklsock_link *handle)
{
	struct lklsock_link *inner = handle->inner;

	list_remove(handle);
	link_handle_free(handle);
	while (inner) {
		struct lklsock_link *next = inner->inner;

		inner->outer = NULL;
		inner->inner = NULL;
		if (inner->given_back) {
			list_remove(inner);
			link_handle_free(inner);
		}
		inner = next;
	}
}

long link_handle_close(struct lklsock_link *handle)
{
	struct link *link = NULL;

	link_handles_lock();
	if (handle->attachment == LINK_ATTACHING || handle->outer) {
		handle->given_back = handle->outer;
		link_handles_unlock();
		return handle->given_back ? 0 : -EBUSY;
	}
	if (handle->link)
		link = layers_end(handle);
	link_handles_unlock();

	link_device_detach(handle);
	if (link)
		link->ops->close(link);

	link_handles_lock();
	layers_free(handle);
	link_handles_unlock();
	return 0;
}

long link_handle_release(struct lklsock_link *handle)
{
	bool stays;

	link_handles_lock();
	stays = handle->link && !handle->outer && handle->attachment == LINK_ATTACHED;
	if (stays)
		handle->given_back = true;
	link_handles_unlock();
	return stays ? 0 : link_handle_close(handle);
}

bool link_handles_any_carrier(void)
{
	bool any = false;

	link_handles_lock();
	for (struct lklsock_link *handle = handles; handle && !any; handle = handle->next)
		any = link_device_has_carrier(handle);
	link_handles_unlock();
	return any;
}

bool link_handles_idle(void)
{
	bool idle = true;

	link_handles_lock();
	for (struct lklsock_link *handle = handles; handle && idle; handle = handle->next)
		if (handle->link && !handle->outer)
			idle = handle->link->ops->idle(handle->link);
	link_handles_unlock();
	return idle;
}

/* List lock held. Return: the outermost layer of a link that is open, or NULL. */
static struct lklsock_link *next_open(void)
{
	for (struct lklsock_link *handle = handles; handle; handle = handle->next)
		if (handle->link && !handle->outer)
			return handle;
	return NULL;
}

/* Return: false if there is none. */
static bool close_next(void)
{
	struct lklsock_link *handle;
	struct link *link = NULL;
	bool mine = false;

	link_handles_lock();
	handle = next_open();
	if (handle) {
		link_device_forget(handle);
		link = layers_end(handle);
		/* Otherwise its owner may free it at any time from now on. */
		mine = handle->given_back;
	}
	link_handles_unlock();
	if (!handle)
		return false;
	link->ops->close(link);
	if (mine) {
		link_handles_lock();
		layers_free(handle);
		link_handles_unlock();
	}
	return true;
}

void link_handles_close_all(void)
{
	while (close_next())
		;
}

void link_handles_fork_prepare(void)
{
	link_handles_lock();
}

void link_handles_fork_parent(void)
{
	link_handles_unlock();
}

void link_handles_fork_child(void)
{
	for (struct lklsock_link *handle = handles; handle; handle = handle->next) {
		if (handle->link && handle->link->ops->forked)
			handle->link->ops->forked(handle->link);
		handle->link = NULL;
		handle->device = NULL;
	}
	link_handles_unlock();
}
