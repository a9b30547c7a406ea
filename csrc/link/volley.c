// SPDX-License-Identifier: GPL-2.0-only
/*
 * Volleys of datagrams.
 */
#include "volley.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "frame.h"
#include "socket.h"
#include "udp.h"

/* A frame of 64 kB in segments of 32 bytes, with what goes around them. Untouched pages cost nothing. */
#define ROOM (512 * 1024)
#define RUNS_MAX 64
/* What a host takes at once: UDP_MAX_SEGMENTS once was 64; and a datagram's length. */
#define RUN_DATAGRAMS 64
#define RUN_BYTES 65000

struct run {
	unsigned long at, bytes;
	unsigned each, count;
};

struct volley {
	int fd;
	uint64_t *path_errors; /* NULL: not connected */
	bool alone;            /* the host takes one at a time */
	struct udp_way way;
	unsigned long used;
	unsigned first, runs; /* those from first on have not left */
	bool held;            /* some, since there was no room; atomic */
	struct run run[RUNS_MAX];
	uint8_t data[ROOM];
};

bool udp_way_equal(const struct udp_way *a, const struct udp_way *b)
{
	const struct sockaddr *remote[] = { (const void *)&a->remote, (const void *)&b->remote };
	const struct sockaddr *local[] = { (const void *)&a->local, (const void *)&b->local };

	/* Both families have the port in the same place. */
	return ((const struct sockaddr_in *)&a->remote)->sin_port ==
		       ((const struct sockaddr_in *)&b->remote)->sin_port &&
	       link_socket_is_host(remote[0], remote[1]) &&
	       local[0]->sa_family == local[1]->sa_family &&
	       (!local[0]->sa_family || link_socket_is_host(local[0], local[1]));
}

static void control_add(struct msghdr *message, int level, int type, const void *data,
			unsigned long bytes)
{
	struct cmsghdr *c =
		(struct cmsghdr *)((char *)message->msg_control + message->msg_controllen);

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(c), data, bytes);
	message->msg_controllen += CMSG_SPACE(bytes);
}

static void local_add(struct msghdr *message, const struct sockaddr_storage *local)
{
	if (local->ss_family == AF_INET) {
		struct in_pktinfo info = {
			.ipi_spec_dst = ((const struct sockaddr_in *)local)->sin_addr,
		};

		control_add(message, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	} else if (local->ss_family == AF_INET6) {
		struct in6_pktinfo info = {
			.ipi6_addr = ((const struct sockaddr_in6 *)local)->sin6_addr,
		};

		control_add(message, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	}
}

long udp_way_send(int fd, const struct udp_way *way, const void *data, unsigned long bytes,
		  unsigned each)
{
	char control[CMSG_SPACE(sizeof(uint16_t)) + CMSG_SPACE(sizeof(struct in6_pktinfo))]
		__attribute__((aligned(sizeof(size_t)))) = { 0 };
	struct iovec piece = { (void *)data, bytes };
	struct msghdr message = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = control,
	};
	const uint16_t segment = (uint16_t)each;
	long sent;

	if (way->remote.ss_family) {
		message.msg_name = (void *)&way->remote;
		message.msg_namelen = udp_address_bytes(&way->remote);
	}
	local_add(&message, &way->local);
	if (each && each < bytes)
		control_add(&message, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment));
	if (!message.msg_controllen)
		message.msg_control = NULL;
	sent = syscall(SYS_sendmsg, fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent < 0 ? -errno : sent;
}

struct volley *volley_new(int fd, uint64_t *path_errors)
{
	struct volley *volley = calloc(1, sizeof(*volley));
	const int none = 0;

	if (!volley)
		return NULL;
	volley->fd = fd;
	volley->path_errors = path_errors;
	/* A host before 4.18 would send them as one. */
	volley->alone = setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &none, sizeof(none));
	return volley;
}

void volley_free(struct volley *volley)
{
	free(volley);
}

bool volley_held(const struct volley *volley)
{
	return __atomic_load_n(&volley->held, __ATOMIC_RELAXED);
}

void volley_begin(struct volley *volley, const struct udp_way *way)
{
	volley->way = *way;
	volley->used = 0;
	volley->first = volley->runs = 0;
}

uint8_t *volley_room(struct volley *volley, unsigned long bytes)
{
	bool fits = volley->used + bytes <= ROOM && volley->runs < RUNS_MAX;

	return fits ? volley->data + volley->used : NULL;
}

void volley_add(struct volley *volley, unsigned long bytes)
{
	struct run *run = volley->runs ? &volley->run[volley->runs - 1] : NULL;
	bool joins = run && run->bytes == (unsigned long)run->each * run->count &&
		     bytes <= run->each && run->count < RUN_DATAGRAMS &&
		     run->bytes + bytes <= RUN_BYTES;

	if (!joins) {
		run = &volley->run[volley->runs++];
		*run = (struct run){ .at = volley->used, .each = (unsigned)bytes };
	}
	run->bytes += bytes;
	run->count++;
	volley->used += bytes;
}

/*
 * What the host says to datagrams that it cannot take together: the device cannot (EIO), the host
 * (ENOPROTOOPT), or these, which are longer than the path takes (EINVAL).
 */
static bool is_refusal(long error)
{
	return error == -EIO || error == -ENOPROTOOPT || error == -EINVAL;
}

/* What an ICMP error of an earlier datagram makes of this one. */
static bool is_told_error(long error)
{
	return error == -ECONNREFUSED || error == -EHOSTUNREACH || error == -ENETUNREACH ||
	       error == -EPROTO || error == -ENOPROTOOPT || error == -EACCES;
}

/* Return: bytes or -errno. */
static long part_send(struct volley *volley, const struct run *run, unsigned long bytes)
{
	const uint8_t *data = volley->data + run->at;
	long sent = udp_way_send(volley->fd, &volley->way, data, bytes, run->each);

	if (!volley->path_errors || !is_told_error(sent))
		return sent;
	link_count(volley->path_errors, 1);
	return udp_way_send(volley->fd, &volley->way, data, bytes, run->each);
}

/* Takes what has left off the run. Return: 0 or -errno. */
static int run_send(struct volley *volley, struct run *run)
{
	bool alone = volley->alone;

	while (run->bytes) {
		unsigned long part = alone && run->bytes > run->each ? run->each : run->bytes;
		long sent = part_send(volley, run, part);

		if (is_refusal(sent) && part > run->each) {
			alone = true;
			volley->alone |= sent != -EINVAL;
			continue;
		}
		if (sent < 0)
			return (int)sent;
		run->at += part;
		run->bytes -= part;
	}
	return 0;
}

int volley_send(struct volley *volley)
{
	int err = 0;

	while (!err && volley->first < volley->runs) {
		err = run_send(volley, &volley->run[volley->first]);
		if (!err)
			volley->first++;
	}
	if (err != -EAGAIN)
		volley->first = volley->runs;
	__atomic_store_n(&volley->held, err == -EAGAIN, __ATOMIC_RELAXED);
	return err;
}
