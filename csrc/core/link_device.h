/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Links as net devices of the kernel.
 */
#ifndef CORE_LINK_DEVICE_H
#define CORE_LINK_DEVICE_H

#include <lklsock.h>

struct link_upper;
struct lkl_host_ops;

/* Fills net_tx, net_rx and net_poll. */
void link_device_ops_fill(struct lkl_host_ops *ops);

long link_device_attach(struct lklsock_link *handle, const char *ifname, const uint8_t mac[6],
			unsigned mtu);
/* Removes the device, if there is one. The link is still open. */
void link_device_detach(struct lklsock_link *handle);
/* It is a device, and its link leads to somebody. */
bool link_device_has_carrier(struct lklsock_link *handle);
/* The kernel is dead: from now on no event looks for the device. */
void link_device_forget(struct lklsock_link *handle);

/* link_upper.event of a handle. */
unsigned link_device_event(struct link_upper *upper, unsigned events);
/* What a link told its device from this thread is handled at once. */
void link_device_interrupt(void);

#endif
