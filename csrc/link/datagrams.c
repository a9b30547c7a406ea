// SPDX-License-Identifier: GPL-2.0-only
/*
 * Datagrams as they come in.
 */
#include "datagrams.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BATCH 16
/* The longest, and what the host joins at most. Untouched pages cost nothing. */
#define ROOM 65536

struct slot {
	struct sockaddr_storage from;
	char control[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct in6_pktinfo))]
		__attribute__((aligned(sizeof(size_t))));
	char data[ROOM];
};

struct datagrams {
	int fd;
	/* The next to be taken: in slot first of the filled ones, at offset. */
	unsigned first, filled;
	unsigned long offset;
	struct mmsghdr messages[BATCH];
	struct iovec pieces[BATCH];
	struct slot slots[BATCH];
};

struct datagrams *datagrams_new(int fd)
{
	struct datagrams *datagrams = calloc(1, sizeof(*datagrams));
	const int join = 1;

	if (!datagrams)
		return NULL;
	datagrams->fd = fd;
	/* A host before 5.0 does not join them. */
	setsockopt(fd, IPPROTO_UDP, UDP_GRO, &join, sizeof(join));
	return datagrams;
}

void datagrams_free(struct datagrams *datagrams)
{
	free(datagrams);
}

bool datagrams_held(const struct datagrams *datagrams)
{
	return datagrams->first < datagrams->filled;
}

/* Return: 0 or -errno. */
static int batch_read(struct datagrams *datagrams)
{
	long count;

	for (int i = 0; i < BATCH; i++) {
		struct slot *slot = &datagrams->slots[i];

		datagrams->pieces[i] = (struct iovec){ slot->data, ROOM };
		datagrams->messages[i].msg_hdr = (struct msghdr){
			.msg_name = &slot->from,
			.msg_namelen = sizeof(slot->from),
			.msg_iov = &datagrams->pieces[i],
			.msg_iovlen = 1,
			.msg_control = slot->control,
			.msg_controllen = sizeof(slot->control),
		};
	}
	count = syscall(SYS_recvmmsg, datagrams->fd, datagrams->messages, BATCH, MSG_DONTWAIT,
			NULL);
	if (count < 0)
		return -errno;
	datagrams->first = 0;
	datagrams->offset = 0;
	datagrams->filled = (unsigned)count;
	return count ? 0 : -EAGAIN;
}

/* Return: of how many bytes each is of those that came as one, or bytes: of only one. */
static unsigned long size_of_each(struct msghdr *message, unsigned long bytes)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		int each;

		if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO)
			continue;
		memcpy(&each, CMSG_DATA(c), sizeof(each));
		if (each > 0 && (unsigned long)each < bytes)
			return (unsigned long)each;
	}
	return bytes;
}

void datagrams_local(const struct datagram *datagram, struct sockaddr_storage *out)
{
	struct msghdr *message = (struct msghdr *)datagram->message;

	memset(out, 0, sizeof(*out));
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			out->ss_family = AF_INET;
			((struct sockaddr_in *)out)->sin_addr = info.ipi_spec_dst;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			out->ss_family = AF_INET6;
			((struct sockaddr_in6 *)out)->sin6_addr = info.ipi6_addr;
		}
	}
}

int datagrams_next(struct datagrams *datagrams, struct datagram *out)
{
	struct mmsghdr *message;
	struct slot *slot;
	unsigned long rest;
	int err;

	if (!datagrams_held(datagrams)) {
		err = batch_read(datagrams);
		if (err)
			return err;
	}
	message = &datagrams->messages[datagrams->first];
	slot = &datagrams->slots[datagrams->first];
	rest = message->msg_len - datagrams->offset;
	out->data = slot->data + datagrams->offset;
	out->bytes = size_of_each(&message->msg_hdr, message->msg_len);
	if (out->bytes > rest)
		out->bytes = rest;
	out->from = &slot->from;
	out->message = &message->msg_hdr;
	datagrams->offset += out->bytes;
	if (datagrams->offset >= message->msg_len) {
		datagrams->first++;
		datagrams->offset = 0;
	}
	return 0;
}
