// SPDX-License-Identifier: GPL-2.0-only
/*
 * Net devices made of links.
 */
#include "link_device.h"

#include <errno.h>
#include <stddef.h>

#include "link/frame.h"

#include "link_handle.h"
#include "readiness.h"
#include "syscall.h"

/* The kernel knows a device's link as the pointer that it was given. All with the CPU held. */
static long net_tx(void *link, const struct lkl_iovec *iov, int count)
{
	return ((struct link *)link)->ops->tx(link, iov, count);
}

static long net_rx(void *link, const struct lkl_iovec *iov, int count)
{
	return ((struct link *)link)->ops->rx(link, iov, count);
}

static void net_poll(void *link, unsigned events)
{
	((struct link *)link)->ops->poll(link, events);
}

void link_device_ops_fill(struct lkl_host_ops *ops)
{
	ops->net_tx = net_tx;
	ops->net_rx = net_rx;
	ops->net_poll = net_poll;
}

/* On a polling thread, or one that cuts. */
unsigned link_device_event(struct link_upper *upper, unsigned events)
{
	struct lklsock_link *handle =
		(struct lklsock_link *)((char *)upper - offsetof(struct lklsock_link, upper));
	unsigned irq = 0;

	pthread_mutex_lock(&handle->device_lock);
	if (events & (LKL_NET_UP | LKL_NET_DOWN))
		handle->carrier = events & LKL_NET_UP;
	if (handle->device) {
		if (events & LKL_NET_MTU)
			lkl_net_mtu(handle->device, link_mtu(handle->link));
		lkl_net_event(handle->device, events);
		irq = LKL_IRQ_NET;
	}
	pthread_mutex_unlock(&handle->device_lock);
	return irq;
}

/* What a link told the device from this thread is handled at once. */
void link_device_interrupt(void)
{
	if (!syscall_door_passes())
		return;
	lkl_irq(LKL_IRQ_NET);
	readiness_flush();
}

/* Return: the link to make a device of, or NULL. */
static struct link *attach_begin(struct lklsock_link *handle)
{
	struct link *link = NULL;

	link_handles_lock();
	if (link_handle_is_loose(handle)) {
		link = handle->link;
		handle->carrier = link->carrier;
		link->upper = &handle->upper;
		handle->attachment = LINK_ATTACHING;
	}
	link_handles_unlock();
	return link;
}

/* device: NULL if none was made. */
static void attach_end(struct lklsock_link *handle, void *device)
{
	link_handles_lock();
	handle->attachment = device ? LINK_ATTACHED : LINK_LOOSE;
	/* Halt may have been quicker. */
	if (device && handle->link) {
		pthread_mutex_lock(&handle->device_lock);
		handle->device = device;
		lkl_net_event(device, handle->carrier ? LKL_NET_UP : LKL_NET_DOWN);
		pthread_mutex_unlock(&handle->device_lock);
	}
	link_handles_unlock();
	link_device_interrupt();
}

long link_device_attach(struct lklsock_link *handle, const char *ifname, const uint8_t mac[6],
			unsigned mtu)
{
	struct link *link;
	void *device = NULL;
	long ret;

	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	link = attach_begin(handle);
	if (!link)
		return -EBUSY;
	ret = lkl_net_add(link, ifname, mac, link->features, mtu, &device);
	readiness_flush();
	attach_end(handle, ret < 0 ? NULL : device);
	return ret;
}

static void *device_take(struct lklsock_link *handle)
{
	void *device;

	pthread_mutex_lock(&handle->device_lock);
	device = handle->device;
	handle->device = NULL;
	pthread_mutex_unlock(&handle->device_lock);
	return device;
}

bool link_device_has_carrier(struct lklsock_link *handle)
{
	bool has;

	pthread_mutex_lock(&handle->device_lock);
	has = handle->device && handle->carrier;
	pthread_mutex_unlock(&handle->device_lock);
	return has;
}

void link_device_forget(struct lklsock_link *handle)
{
	device_take(handle);
}

void link_device_detach(struct lklsock_link *handle)
{
	void *device = device_take(handle);

	if (!device || !syscall_door_passes())
		return;
	lkl_net_del(device);
	readiness_flush();
}
