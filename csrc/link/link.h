/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A link carries Ethernet frames between a net device of the stack and
 * something on the host. Wrappers (impair, pcap) are links over links.
 *
 * A frame is a struct virtio_net_hdr_v1 (LKL_VNET_HDR bytes, all in iov[0]) and the Ethernet
 * frame, without FCS.
 *
 *	net device  --tx/rx/poll-->  wrapper  --tx/rx/poll-->  link
 *	            <---event------           <---event------
 */
#ifndef LINK_H
#define LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <lkl_host.h>

struct link;

/* What sits above a link: the net device, a wrapper, or a test. */
struct link_upper {
	/*
	 * LKL_NET_* happened. Returns the LKL_IRQ_* bits to raise.
	 * Context: a polling thread (see host_io_source), CPU not held.
	 */
	unsigned (*event)(struct link_upper *upper, unsigned events);
};

struct link_ops {
	const char *kind;
	/* A wrapper that changes no frame: the counters are those of what it wraps. */
	bool counts_inside;
	/*
	 * One frame. Return: bytes; -EAGAIN: nothing there, no room (then poll() tells); -EPIPE:
	 * the other end is gone; another -errno: this frame is lost. Never blocks. Context: CPU
	 * held (a test: any one thread).
	 */
	long (*tx)(struct link *link, const struct lkl_iovec *iov, int count);
	long (*rx)(struct link *link, const struct lkl_iovec *iov, int count);
	/*
	 * One-shot interest, LKL_NET_RX and LKL_NET_TX; adds to what is armed. What is there
	 * already is told, too: a reader may stop at any frame, while there is carrier; without,
	 * it goes on to -EAGAIN or -EPIPE. Context: as tx.
	 */
	void (*poll)(struct link *link, unsigned events);
	/*
	 * What may come in from now on: LKL_NET_CSUM, LKL_NET_TSO; others are for the sender to
	 * cut up. NULL: the sender decides.
	 */
	void (*offload)(struct link *link, unsigned features);
	/* Nothing is left in its own queues (a delayed frame, say). Context: any. */
	bool (*idle)(struct link *link);
	/* Frees it and what it wraps. No event() comes after. Context: CPU not held. */
	void (*close)(struct link *link);
	/*
	 * In a forked child, instead of close(): closes the copies of descriptors that are no
	 * sources of the I/O service. NULL: has none.
	 */
	void (*forked)(struct link *link);
};

/*
 * Frames and bytes without the vnet header. Written by the link, read by anybody: relaxed
 * atomics.
 */
struct link_counters {
	uint64_t tx_frames, tx_bytes, rx_frames, rx_bytes;
	uint64_t tx_dropped, rx_dropped; /* lost here, by intent or for want of room */
	uint64_t rx_malformed;           /* too short, too long, bad header: lost here, too */
	uint64_t tx_too_long;            /* of those dropped: longer than the path takes */
	uint64_t path_errors;            /* told by the path, such as ICMP; nothing is lost by it */
};

struct link {
	const struct link_ops *ops;
	struct link_upper *upper; /* set before the first poll() */
	struct link *inner;       /* what a wrapper wraps, or NULL */
	unsigned features;        /* LKL_NET_CSUM, LKL_NET_TSO */
	unsigned mtu;             /* what it can carry, or 0: anything; LKL_NET_MTU: atomic */
	bool carrier; /* until the first poll(); then LKL_NET_UP and DOWN tell changes */
	struct link_counters counters;
};

/*
 * A TAP device. name: opens /dev/net/tun and attaches to this device, or makes it
 * (CAP_NET_ADMIN). fd >= 0: a TAP descriptor handed in, which the link then owns; name may be
 * NULL. It has carrier while the device is up on the host.
 * Return: 0 or -errno, fd is not closed then (ENODEV: no such device and not allowed to make it;
 * EPERM: not allowed to open it; EBUSY: in use; EINVAL: not a TAP, one with several queues, or fd
 * without IFF_VNET_HDR).
 */
int link_tap_open(const char *name, int fd, struct link **out);

/*
 * A wire: frames as messages on a unix socket, to another stack, no privilege.
 * link_wire_open() owns fd unless it fails (EPROTOTYPE: it is none for a wire).
 * link_wire_listen() makes a socket at path (mode 0600) and has no carrier until somebody
 * connects; when that peer goes, it waits for the next.
 * link_wire_connect() connects to one.
 * Return: 0 or -errno.
 */
int link_wire_open(int fd, struct link **out);
int link_wire_listen(const char *path, struct link **out);
int link_wire_connect(const char *path, struct link **out);

/*
 * Frames on a connected unix socket of bytes, each behind its length, as passt and QEMU's netdev
 * "stream" speak it; no privilege. The link owns fd unless it fails (EPROTOTYPE: it is none for
 * this). When the peer goes, or what comes makes no frames, the carrier is lost for good.
 * Return: 0 or -errno.
 */
int link_passt_open(int fd, struct link **out);

/*
 * A packet socket (CAP_NET_RAW): a station of its own on a network interface of the host, with
 * this MAC address. It has carrier while the interface does. link_packet_adopt() takes one that is
 * open and bound to an interface; the link then owns it.
 * Return: 0 or -errno, fd is not closed then; see packet.h.
 */
int link_packet_open(const char *device, const uint8_t mac[6], struct link **out);
int link_packet_adopt(int fd, const uint8_t mac[6], struct link **out);

struct link_vxlan {
	struct sockaddr_storage remote; /* with its port */
	struct sockaddr_storage source; /* all zero: any */
	uint16_t local_port;            /* where the other end answers to */
	uint16_t source_port;           /* of what goes out; 0: any */
	const char *device;             /* to leave by; "": any */
	uint32_t vni;
};

/*
 * Ethernet in UDP (RFC 7348), to one other end; no privilege. It has carrier while the device does
 * or, without one, the address that the datagrams leave from.
 * Return: 0 or -errno (EADDRINUSE: somebody has local_port; EADDRNOTAVAIL: source is not ours;
 * ENETUNREACH: no route; ENODEV).
 */
int link_vxlan_open(const struct link_vxlan *settings, struct link **out);

struct link_tunnel {
	struct sockaddr_storage remote; /* with its port */
	struct sockaddr_storage source; /* all zero: any */
	const char *device;             /* to leave by; "": any */
	const uint8_t *key;             /* pre-shared; 32 bytes */
	uint32_t keepalive_ms;
	uint8_t mac[6]; /* the interface's, as it begins */
};

/*
 * Ethernet in UDP to a gateway of ours, sealed; no privilege. See docs/tunnel-protocol.md. It has
 * carrier once the gateway has answered, and as long as it does.
 * Return: 0 or -errno (EADDRNOTAVAIL: source is not ours; ENODEV; ELIBACC: no libcrypto).
 */
int link_tunnel_open(const struct link_tunnel *settings, struct link **out);

struct link_gateway {
	struct sockaddr_storage listen; /* with its port */
	const uint8_t *keys;            /* those of the peers; 32 bytes each */
	unsigned key_count;
	int report_fd; /* lines about peers are written to it; borrowed; -1: none */
};

/*
 * The other end of tunnels: one link for all of its peers, which do not reach each other by it.
 * Frames to one of their MAC addresses go to that peer, those to groups to all.
 * Lines: "joined KEY INSTANCE ADDRESS PORT MTU", "roamed KEY INSTANCE ADDRESS PORT",
 * "left KEY INSTANCE REASON" (bye, silent), "refused ADDRESS PORT", "full ADDRESS PORT" (there is
 * no place for it). KEY is the index of the peer's key, INSTANCE its own number, in hexadecimal.
 * Return: 0 or -errno (EADDRINUSE, EADDRNOTAVAIL, ELIBACC).
 */
int link_gateway_open(const struct link_gateway *settings, struct link **out);

/*
 * A descriptor that was handed in, whatever it is: a TAP, a packet socket, a unix socket of
 * messages (a wire) or of bytes (passt). The link then owns it.
 * Return: 0 or -errno, fd is not closed then (EOPNOTSUPP: none of these; EPROTOTYPE: a socket of
 * another type; else as the link of its kind has it).
 */
int link_fd_open(int fd, const uint8_t mac[6], struct link **out);

/* Impairment of one direction. All zero: nothing changes. */
struct link_impair_direction {
	uint64_t delay_ns;
	uint64_t jitter_ns;      /* uniform, +-; frames keep their order */
	uint64_t rate_bit_per_s; /* 0: unlimited */
	uint32_t queue_bytes;    /* waiting for the rate; 0: 100 ms, 64 kB at least */
	double loss;             /* 0..1 */
	double reorder;          /* 0..1: sent at once, past the delayed ones */
	double duplicate;        /* 0..1: comes twice, the second right behind */
};

/*
 * Wraps inner (owned from then on; TSO is masked, so that each packet counts as one).
 * seed makes loss, jitter and reordering repeatable.
 */
int link_impair_wrap(struct link *inner, uint64_t seed, const struct link_impair_direction *tx,
		     const struct link_impair_direction *rx, struct link **out);
/* Changes the parameters from the next frame on. */
int link_impair_set(struct link *link, const struct link_impair_direction *tx,
		    const struct link_impair_direction *rx);
/*
 * Cuts (frames vanish both ways, queued ones too) or mends. With carrier, LKL_NET_DOWN and UP are
 * told; without, it is silent.
 */
int link_impair_cut(struct link *link, bool cut, bool carrier);

/*
 * Wraps inner (owned from then on), which has carrier only while what it stands on in the host is
 * up: an interface with carrier - and with an address, if it has had one - or whichever interface
 * with carrier has the address that uplink names.
 * Return: 0 or -errno (ENODEV: no such interface).
 */
int link_follow_wrap(struct link *inner, const char *uplink, struct link **out);

/*
 * Wraps inner (owned) and writes what passes to a pcap file (nanosecond magic,
 * LINKTYPE_ETHERNET), which a reader may follow. fd is owned. snaplen 0: whole frames.
 */
int link_pcap_wrap(struct link *inner, int fd, uint32_t snaplen, struct link **out);

/*
 * The in-memory double: two ends, frames queued up to depth; for tests, also as the documented
 * fake.
 */
int link_memory_pair(unsigned depth, struct link *out[2]);
/* Queues raw bytes as if they had come in (vnet header and all, malformed if you like). */
int link_memory_inject(struct link *link, const void *bytes, unsigned long len);

#endif
