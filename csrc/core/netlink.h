/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Netlink requests to the kernel: one message out, the first one back. The kernel answers
 * while it takes the request, so nobody waits.
 */
#ifndef CORE_NETLINK_H
#define CORE_NETLINK_H

#include <stddef.h>

#include <linux/netlink.h>

struct netlink_request {
	union {
		struct nlmsghdr header;
		char bytes[512];
	};
};

/* Starts a request: flags are added to NLM_F_REQUEST; body is the family's header, zeroed past its end. */
void netlink_begin(struct netlink_request *request, int type, int flags, const void *body,
		   size_t body_bytes);
/* Adds an attribute. There is room for all that core/ asks. */
void netlink_attribute(struct netlink_request *request, int type, const void *value, size_t bytes);

/* A socket of the kernel for protocol. Return: lkl_fd or -errno. */
long netlink_open(int protocol);
void netlink_close(long lkl_fd);

/* Return: type of the first answer (NLMSG_DONE, ...); 0 for an acknowledgement; or the -errno it reports. */
long netlink_ask(long lkl_fd, struct netlink_request *request);

#endif
