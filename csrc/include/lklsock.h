/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The function table that a loaded liblkl.so hands out: all that the
 * extension module (bind/, loader/) knows of it. Get it with
 * lkl_api(LKLSOCK_ABI), the library's only use.
 *
 * Unless said otherwise a function may be called from any thread, may sleep (so:
 * without the GIL), and returns >= 0 or -errno. Every function that enters the kernel may also return
 * LKLSOCK_ENOTRUNNING (not booted, halted, panicked, or a forked child) or LKLSOCK_EREENTRY (called from a signal handler
 * or callback of a thread that is inside the kernel already).
 *
 * An lkl_fd is a descriptor inside the kernel, a host_fd one of this process.
 */
#ifndef LKLSOCK_H
#define LKLSOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LKLSOCK_ABI 7

#define LKLSOCK_ENOTRUNNING (-4096L)
#define LKLSOCK_EREENTRY (-4097L)

/* Deadlines are CLOCK_MONOTONIC ns. */
#define LKLSOCK_NEVER UINT64_MAX

/*
 *            boot()            halt()
 *   LOADED ----------> RUNNING ----------> HALTED
 *      |                  | panic, BUG
 *      |  panic           v                       any, after fork(2) in the child
 *      +------------> PANICKED                    ------------------------------> FORKED
 */
enum lklsock_state {
	LKLSOCK_LOADED,
	LKLSOCK_RUNNING,
	LKLSOCK_HALTED,
	LKLSOCK_PANICKED,
	LKLSOCK_FORKED,
};

struct lklsock_boot {
	uint64_t memory_bytes;    /* at least 8 MiB */
	const char *command_line; /* added to ours; may be "" */
	const char *hostname;     /* may be NULL */
	int console_level;        /* as printk's: messages below it are kept; 0..8 */
};

struct lklsock_socket;
struct lklsock_link;
struct lklsock_task;

struct lklsock_link_counters {
	uint64_t tx_frames, tx_bytes, rx_frames, rx_bytes, tx_dropped, rx_dropped, rx_malformed,
		tx_too_long, path_errors; /* see link.h */
};

struct lklsock_vxlan { /* see link.h */
	struct sockaddr_storage remote, source;
	uint16_t local_port, source_port;
	const char *device;
	uint32_t vni;
};

struct lklsock_tunnel { /* see link.h */
	struct sockaddr_storage remote, source;
	const char *device;
	const uint8_t *key;
	uint32_t keepalive_ms;
	uint8_t mac[6];
};

struct lklsock_gateway { /* see link.h */
	struct sockaddr_storage listen;
	const uint8_t *keys;
	unsigned key_count;
	int report_fd;
};

struct lklsock_impair { /* one direction; see link.h */
	uint64_t delay_ns, jitter_ns, rate_bit_per_s;
	uint32_t queue_bytes;
	double loss, reorder, duplicate;
};

struct lklsock_statistics {
	uint64_t requests, cold_requests, sleeping_owners, switches, interrupts, timer_sets,
		handoffs, kicks, watch_polls, watch_changes, parks, free_pages, total_pages;
};

struct lklsock_api {
	unsigned abi;
	unsigned size; /* of this table, bytes */

	/* ---- life; boot and halt once each, in this order. */
	const char *(*kernel_version)(void); /* "6.12.117"; never enters the kernel */
	long (*boot)(const struct lklsock_boot *boot);
	/*
	 * Closes every socket (FIN or RST leave), lets links flush, until the deadline; then takes the CPU for good and
	 * frees everything but what sockets' and links' owners still hold. Sleepers end with LKLSOCK_ENOTRUNNING.
	 */
	long (*halt)(uint64_t deadline_ns);
	enum lklsock_state (*state)(void);
	/* The newest console text, terminated. Return: length. Works in every state. */
	size_t (*console_tail)(char *buf, size_t size);
	/*
	 * Around fork(2), by one thread: prepare, then parent or child. In the parent every call works again then, but
	 * nothing happens on its own (timers, frames) before fork_resume(), which brings the library's thread back.
	 */
	void (*fork_prepare)(void);
	void (*fork_parent)(void);
	void (*fork_resume)(void);
	void (*fork_child)(void);

	/* ---- the raw door: any system call. Pointers must be valid: a bad one is a host SIGSEGV. */
	long (*system_call)(struct lklsock_task *task, long nr, const long args[6]);
	/* A kernel task of its own, for namespaces. Return: NULL when there is no memory or no kernel. */
	struct lklsock_task *(*task_new)(void);
	void (*task_free)(struct lklsock_task *task);
	/* Files of the kernel (procfs, sysctl). Return: bytes. */
	long (*file_read)(const char *path, void *buf, size_t size);
	long (*file_write)(const char *path, const void *buf, size_t size);
	long (*statistics)(struct lklsock_statistics *out);

	/*
	 * ---- sockets. They never block inside the kernel: -EAGAIN (and -EINPROGRESS of connect) come back, wait() sleeps.
	 * task: whose namespace, or NULL. *out has one reference.
	 */
	long (*socket_open)(struct lklsock_task *task, int family, int type, int protocol,
			    struct lklsock_socket **out);
	void (*socket_get)(struct lklsock_socket *sock);
	void (*socket_put)(struct lklsock_socket *sock); /* the last one closes it */
	/*
	 * To be called before socket_close(): what SO_LINGER asks for. Sends the end, and sleeps until all is
	 * acknowledged or the time is up. Return: 0; -EINTR when a signal handler ran, -EAGAIN: look for signals,
	 * and call again.
	 */
	long (*socket_linger)(struct lklsock_socket *sock);
	/* Closes now, without lingering; calls and sleepers in other threads end with -EBADF. References stay valid. */
	long (*socket_close)(struct lklsock_socket *sock);
	int (*socket_lkl_fd)(struct lklsock_socket *sock); /* -EBADF when closed */

	long (*bind)(struct lklsock_socket *sock, const void *addr, socklen_t len);
	long (*listen)(struct lklsock_socket *sock, int backlog);
	long (*accept)(struct lklsock_socket *sock, void *addr, socklen_t *len,
		       struct lklsock_socket **out);
	long (*connect)(struct lklsock_socket *sock, const void *addr, socklen_t len);
	long (*send)(struct lklsock_socket *sock, const void *buf, size_t len, int flags);
	long (*recv)(struct lklsock_socket *sock, void *buf, size_t len, int flags);
	long (*sendto)(struct lklsock_socket *sock, const void *buf, size_t len, int flags,
		       const void *addr, socklen_t addrlen);
	long (*recvfrom)(struct lklsock_socket *sock, void *buf, size_t len, int flags, void *addr,
			 socklen_t *addrlen);
	long (*sendmsg)(struct lklsock_socket *sock, const struct msghdr *msg, int flags);
	long (*recvmsg)(struct lklsock_socket *sock, struct msghdr *msg, int flags);
	long (*shutdown)(struct lklsock_socket *sock, int how);
	long (*getsockname)(struct lklsock_socket *sock, void *addr, socklen_t *len);
	long (*getpeername)(struct lklsock_socket *sock, void *addr, socklen_t *len);
	long (*getsockopt)(struct lklsock_socket *sock, int level, int name, void *value,
			   socklen_t *len);
	long (*setsockopt)(struct lklsock_socket *sock, int level, int name, const void *value,
			   socklen_t len);
	long (*ioctl)(struct lklsock_socket *sock, unsigned long request, void *arg);

	/*
	 * Sleeps until one of events (EPOLL*; ERR and HUP always count) is up. Return: the mask that is up, 0 at the
	 * deadline, -EINTR when a signal handler ran, -EBADF when the socket was closed meanwhile.
	 */
	long (*socket_wait)(struct lklsock_socket *sock, unsigned events, uint64_t deadline_ns);
	/* Readiness now, without sleeping. */
	long (*socket_poll)(struct lklsock_socket *sock);
	/*
	 * The shadow: a host_fd that mirrors the readiness, made on the first call and owned by the caller from
	 * then on (who closes it: socket_close does not). The same number on later calls.
	 */
	long (*socket_shadow)(struct lklsock_socket *sock);
	/* Reaches it by this copy of its host_fd from now on. Return: 0 or -EBADF: it is none. */
	long (*socket_shadow_move)(struct lklsock_socket *sock, int host_fd);
	/* The socket whose shadow this is, or a copy of it, with one reference; NULL if there is none. */
	struct lklsock_socket *(*socket_by_shadow)(int host_fd);

	/*
	 * ---- halves. A socket may have a descriptor of the host beside the kernel's socket, or in its place: what
	 * is ready there counts in socket_wait(), socket_poll() and the shadow. The socket calls above reach the
	 * kernel's half only.
	 *
	 * host_fd, non-blocking, stays the caller's, who leaves it, or closes the socket, before closing it.
	 * Return: 0, -EBUSY: it has one, or -errno.
	 */
	long (*socket_join_host)(struct lklsock_socket *sock, int host_fd);
	long (*socket_leave_host)(struct lklsock_socket *sock);
	/* Closes the kernel's half for good; calls on it are -EBADF. The shadow stays. */
	long (*socket_leave_kernel)(struct lklsock_socket *sock);
	/* Puts the kernel's half of other in the place of its own, which is closed. Close other then. */
	long (*socket_replace_kernel)(struct lklsock_socket *sock, struct lklsock_socket *other);
	/*
	 * After each call on the host's half: takes back from the shadow what is no longer ready.
	 * came_short: EPOLLIN or EPOLLOUT if the call found less of it than it wanted.
	 */
	long (*socket_refresh)(struct lklsock_socket *sock, unsigned came_short);

	/*
	 * A host_fd that carries the data of a connection, both ways, and its ends. It is the caller's; the socket
	 * belongs to the bridge then, which has a reference. With a socket of the host given, and not -1, the data
	 * comes out at that one's peer; it is the bridge's then, if there is no error, and 0 is returned.
	 * Return: host_fd, -ENOTCONN, -EOPNOTSUPP: no stream, -EBUSY: it has one, or -errno.
	 */
	long (*socket_bridge)(struct lklsock_socket *sock, int host_fd);

	/*
	 * ---- links. *_open give an unattached link; a wrapper takes over the link it wraps (the old pointer then
	 * means the inner part: only link_counters and link_close of the outermost matter).
	 */
	long (*link_tap)(const char *name, struct lklsock_link **out);
	/* A TAP device, packet socket or unix socket; owned by the link, unless it fails. */
	long (*link_fd)(int host_fd, const uint8_t mac[6], struct lklsock_link **out);
	/* A host's network interface, with a MAC address of its own. */
	long (*link_packet)(const char *device, const uint8_t mac[6], struct lklsock_link **out);
	/* Ethernet in UDP, to a gateway. */
	long (*link_vxlan)(const struct lklsock_vxlan *vxlan, struct lklsock_link **out);
	/* Ethernet in UDP, sealed, to a gateway of ours; and that gateway. */
	long (*link_tunnel)(const struct lklsock_tunnel *tunnel, struct lklsock_link **out);
	long (*link_gateway)(const struct lklsock_gateway *gateway, struct lklsock_link **out);
	long (*link_wire)(int host_fd, struct lklsock_link **out);
	long (*link_wire_path)(const char *path, bool listen, struct lklsock_link **out);
	long (*link_impair)(struct lklsock_link *inner, uint64_t seed,
			    const struct lklsock_impair *tx, const struct lklsock_impair *rx,
			    struct lklsock_link **out);
	long (*link_impair_set)(struct lklsock_link *link, const struct lklsock_impair *tx,
				const struct lklsock_impair *rx);
	long (*link_cut)(struct lklsock_link *link, bool cut, bool carrier);
	long (*link_follow)(struct lklsock_link *inner, const char *uplink,
			    struct lklsock_link **out);
	long (*link_pcap)(struct lklsock_link *inner, int host_fd, uint32_t snaplen,
			  struct lklsock_link **out);
	/* Makes a net device of it (down, no address). mac: 6 bytes. Return: its interface index. */
	long (*link_attach)(struct lklsock_link *link, const char *ifname, const uint8_t mac[6],
			    unsigned mtu);
	/* What it can carry, bytes; 0: anything. */
	long (*link_mtu)(struct lklsock_link *link);
	/* Removes the device, if attached, and closes the link. */
	long (*link_close)(struct lklsock_link *link);
	/* Gives the handle back. An attached link stays with its device until the kernel ends; others are closed. */
	long (*link_release)(struct lklsock_link *link);
	void (*link_counters)(struct lklsock_link *link, struct lklsock_link_counters *out);

	/* ---- what boot needs of the network. family AF_INET or AF_INET6, addresses in network order. */
	long (*interface_up)(int ifindex, bool up);
	long (*interface_mtu)(int ifindex, unsigned mtu);
	/* false takes the carrier of a link's device away, whatever the link has; true leaves it to the link. */
	long (*interface_carrier)(int ifindex, bool carrier);
	long (*address_add)(int ifindex, int family, const void *addr, unsigned prefix_len);
	long (*address_del)(int ifindex, int family, const void *addr, unsigned prefix_len);
	/* gateway NULL: on link. prefix_len 0 and dst NULL: default route. metric 0: the kernel's. */
	long (*route_add)(int ifindex, int family, const void *dst, unsigned prefix_len,
			  const void *gateway, uint32_t metric, uint32_t table);
	long (*route_del)(int ifindex, int family, const void *dst, unsigned prefix_len,
			  const void *gateway, uint32_t metric, uint32_t table);
	/* Traffic from src is routed by table. prefix_len 0: all is, but for the table's default routes. */
	long (*rule_add)(int family, const void *src, unsigned prefix_len, uint32_t table,
			 uint32_t priority);
	long (*rule_del)(int family, const void *src, unsigned prefix_len, uint32_t table,
			 uint32_t priority);
};

/* Return: the table, or NULL when abi is not the library's. */
__attribute__((visibility("default"))) const struct lklsock_api *lkl_api(unsigned abi);

#ifdef __cplusplus
}
#endif
#endif
