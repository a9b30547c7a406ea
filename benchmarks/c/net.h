/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The calls that are measured, over the embedded stack or over the host's
 * kernel, so that one benchmark runs unchanged over both.
 *
 * Unless said otherwise a call returns >= 0 or -errno.
 */
#ifndef NET_H
#define NET_H

#include <netinet/in.h> /* IPPROTO_MPTCP */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct lklsock_api;
struct lklsock_socket;

struct net_socket {
	int host_fd;
	struct lklsock_socket *lkl;
	uint64_t receive_timeout_ns; /* stack only; the host's is in the socket */
};

struct net {
	const char *name;
	long (*open)(int family, int type, int protocol, struct net_socket *out);
	long (*bind)(struct net_socket *sock, const void *addr, socklen_t len);
	long (*listen)(struct net_socket *sock, int backlog);
	/* Blocks, as connect, send and recv do. */
	long (*accept)(struct net_socket *sock, struct net_socket *out);
	long (*connect)(struct net_socket *sock, const void *addr, socklen_t len);
	/* Everything is queued before it returns, unless flags has MSG_DONTWAIT. */
	long (*send)(struct net_socket *sock, const void *buf, size_t len, int flags);
	/* -EAGAIN: MSG_DONTWAIT, or the timeout has passed. */
	long (*recv)(struct net_socket *sock, void *buf, size_t len, int flags);
	long (*receive_timeout)(struct net_socket *sock, uint64_t timeout_ns);
	long (*getsockname)(struct net_socket *sock, void *addr, socklen_t *len);
	long (*setsockopt)(struct net_socket *sock, int level, int name, const void *value,
			   socklen_t len);
	long (*getsockopt)(struct net_socket *sock, int level, int name, void *value,
			   socklen_t *len);
	void (*close)(struct net_socket *sock);
	long (*getppid)(void);
	/* path: below /proc/sys. */
	long (*sysctl)(const char *path, const char *value);
};

extern const struct net net_host;
/* Works once the stack is booted. */
extern const struct net net_stack;

/* Loads liblkl.so. Ends the program when it can't. */
const struct lklsock_api *net_stack_load(const char *library);
/* Boots what is loaded. Ends the program when it can't. */
void net_stack_boot(uint64_t memory_bytes);
/* For what only a stack has: links. */
const struct lklsock_api *net_stack_api(void);

/* Return: 0, IPPROTO_MPTCP; ends the program when the word is neither "tcp" nor "mptcp". */
int net_protocol(const char *word);
/*
 * A stream socket for low latency. congestion: its algorithm, or NULL for the kernel's default; a host may default to
 * another than the stack, and then two algorithms are compared beside two kernels. Ends the program on failure.
 */
void net_stream(const struct net *net, int family, int protocol, const char *congestion,
		struct net_socket *out);

#endif
