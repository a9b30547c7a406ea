// SPDX-License-Identifier: GPL-2.0-only
/*
 * Socket addresses: the stdlib's tuples to and from struct sockaddr, for
 * AF_INET, AF_INET6, AF_NETLINK and AF_PACKET.
 *
 * Host names are resolved before they come here; what is left is numbers, "" for any address and "<broadcast>".
 * Interface names are those of the kernel.
 */
#ifndef BIND_ADDRESS_H
#define BIND_ADDRESS_H

#include <Python.h>

#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "socket.h"

struct address {
	socklen_t length;
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_nl nl;
		struct sockaddr_ll ll;
	};
};

/* Room for any family, for the kernel to write to. */
inline void address_clear(struct address *addr)
{
	addr->length = sizeof(*addr) - offsetof(struct address, any);
	addr->any.sa_family = AF_UNSPEC;
}

/* The argument of caller ("bind", "sendto"). Return: false with the stdlib's exception set. */
bool address_parse(const struct socket_object *s, PyObject *object, const char *caller,
		   struct address *out);
/* None when the kernel wrote no address. */
PyObject *address_build(const struct socket_object *s, const struct address *addr);

#endif
