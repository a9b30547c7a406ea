// SPDX-License-Identifier: GPL-2.0-only
/*
 * A wrapper that writes what passes to a pcap file (nanosecond stamps, Ethernet), frame by frame,
 * so that a reader may follow.
 *
 * A pipe that is full must not stop the kernel: what did not fit is kept and goes
 * out before the next record; records that come while it cannot are left out. After
 * an error (disk full, reader gone) nothing more is written.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/host.h"

#include "frame.h"

#define MAGIC_NANOSECONDS 0xa1b23c4du
#define LINKTYPE_ETHERNET 1
#define SNAPLEN_WHOLE 262144
/* More than the kernel half's longest frame has. */

struct pcap_file_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy, snaplen, linktype;
};

struct pcap_record_header {
	uint32_t seconds, nanoseconds, captured, length;
};

struct pcap {
	struct link link;
	struct link_upper below; /* what inner tells */
	int fd;                  /* -1: given up */
	uint32_t snaplen;
	/* The rest of a record; CPU held. */
	char *rest;
	unsigned long rest_bytes;
};

static struct pcap *pcap_of(struct link *link)
{
	return (struct pcap *)link;
}

static void give_up(struct pcap *pcap)
{
	close(pcap->fd);
	pcap->fd = -1;
}

/* Return: bytes written, 0 when there is no room. */
static unsigned long write_some(struct pcap *pcap, const struct lkl_iovec *iov, int count)
{
	long bytes = syscall(SYS_writev, pcap->fd, iov, count);

	if (bytes >= 0)
		return (unsigned long)bytes;
	if (errno != EAGAIN && errno != EINTR)
		give_up(pcap);
	return 0;
}

/* Return: true if nothing of earlier records is left. */
static bool rest_write(struct pcap *pcap)
{
	struct lkl_iovec iov = { pcap->rest, pcap->rest_bytes };
	unsigned long bytes;

	if (!pcap->rest_bytes)
		return true;
	bytes = write_some(pcap, &iov, 1);
	pcap->rest_bytes -= bytes;
	memmove(pcap->rest, pcap->rest + bytes, pcap->rest_bytes);
	return !pcap->rest_bytes;
}

static void rest_keep(struct pcap *pcap, const struct lkl_iovec *iov, int count, unsigned long skip)
{
	for (int i = 0; i < count; i++) {
		unsigned long gone = skip < iov[i].len ? skip : iov[i].len;

		memcpy(pcap->rest + pcap->rest_bytes, (char *)iov[i].base + gone,
		       iov[i].len - gone);
		pcap->rest_bytes += iov[i].len - gone;
		skip -= gone;
	}
}

/* Pieces of iov, without the vnet header and what snaplen cuts. Return: their number. */
static int frame_pieces(struct lkl_iovec *pieces, const struct lkl_iovec *iov, int count,
			unsigned long captured)
{
	unsigned long skip = LKL_VNET_HDR;
	int used = 0;

	for (int i = 0; i < count && captured; i++) {
		unsigned long gone = skip < iov[i].len ? skip : iov[i].len;
		unsigned long part = iov[i].len - gone;

		if (part > captured)
			part = captured;
		if (part)
			pieces[used++] = (struct lkl_iovec){ (char *)iov[i].base + gone, part };
		skip -= gone;
		captured -= part;
	}
	return used;
}

/* CPU held. */
static void record_write(struct pcap *pcap, const struct lkl_iovec *iov, int count, long bytes)
{
	uint64_t now = host_clock_realtime();
	uint32_t length = (uint32_t)(bytes - LKL_VNET_HDR);
	struct pcap_record_header header = {
		.seconds = (uint32_t)(now / 1000000000u),
		.nanoseconds = (uint32_t)(now % 1000000000u),
		.captured = length < pcap->snaplen ? length : pcap->snaplen,
		.length = length,
	};
	struct lkl_iovec pieces[LKL_PIECES_MAX + 1] = { { &header, sizeof(header) } };
	unsigned long done;
	int used;

	if (pcap->fd < 0 || count > LKL_PIECES_MAX || !rest_write(pcap))
		return;
	used = 1 + frame_pieces(pieces + 1, iov, count, header.captured);
	done = write_some(pcap, pieces, used);
	/* Nothing of it, or a part. */
	if (pcap->fd >= 0 && done)
		rest_keep(pcap, pieces, used, done);
}

static long pcap_tx(struct link *link, const struct lkl_iovec *iov, int count)
{
	long bytes = link->inner->ops->tx(link->inner, iov, count);

	if (bytes >= LINK_FRAME_MIN) {
		link_count_tx(link, (unsigned long)bytes);
		record_write(pcap_of(link), iov, count, bytes);
	}
	return bytes;
}

static long pcap_rx(struct link *link, const struct lkl_iovec *iov, int count)
{
	long bytes = link->inner->ops->rx(link->inner, iov, count);

	if (bytes >= LINK_FRAME_MIN) {
		link_count_rx(link, (unsigned long)bytes);
		record_write(pcap_of(link), iov, count, bytes);
	}
	return bytes;
}

static void pcap_poll(struct link *link, unsigned events)
{
	link->inner->ops->poll(link->inner, events);
}

static unsigned pcap_event(struct link_upper *below, unsigned events)
{
	struct pcap *pcap = (struct pcap *)((char *)below - offsetof(struct pcap, below));

	return pcap->link.upper->event(pcap->link.upper, events);
}

static void pcap_offload(struct link *link, unsigned features)
{
	if (link->inner->ops->offload)
		link->inner->ops->offload(link->inner, features);
}

static bool pcap_idle(struct link *link)
{
	return link->inner->ops->idle(link->inner);
}

static void pcap_close(struct link *link)
{
	struct pcap *pcap = pcap_of(link);

	link->inner->ops->close(link->inner);
	if (pcap->fd >= 0) {
		rest_write(pcap);
		close(pcap->fd);
	}
	free(pcap->rest);
	free(pcap);
}

static void pcap_forked(struct link *link)
{
	if (pcap_of(link)->fd >= 0)
		close(pcap_of(link)->fd);
}

static const struct link_ops pcap_ops = {
	.kind = "pcap",
	.tx = pcap_tx,
	.rx = pcap_rx,
	.poll = pcap_poll,
	.offload = pcap_offload,
	.idle = pcap_idle,
	.close = pcap_close,
	.forked = pcap_forked,
};

/* Return: 0 or -errno. */
static int file_start(int fd, uint32_t snaplen)
{
	const struct pcap_file_header header = {
		.magic = MAGIC_NANOSECONDS,
		.major = 2,
		.minor = 4,
		.snaplen = snaplen,
		.linktype = LINKTYPE_ETHERNET,
	};
	int flags = fcntl(fd, F_GETFL);
	struct stat stat;
	ssize_t bytes;

	if (flags < 0 || fstat(fd, &stat))
		return -errno;
	if (!S_ISREG(stat.st_mode) && fcntl(fd, F_SETFL, flags | O_NONBLOCK))
		return -errno;
	bytes = write(fd, &header, sizeof(header));
	if (bytes < 0)
		return -errno;
	return bytes == sizeof(header) ? 0 : -ENOSPC;
}

int link_pcap_wrap(struct link *inner, int fd, uint32_t snaplen, struct link **out)
{
	struct pcap *pcap = calloc(1, sizeof(*pcap));
	int err;

	if (!pcap)
		return -ENOMEM;
	pcap->rest = malloc(sizeof(struct pcap_record_header) + LKL_FRAME_MAX);
	pcap->fd = fd;
	pcap->snaplen = snaplen ? snaplen : SNAPLEN_WHOLE;
	err = pcap->rest ? file_start(fd, pcap->snaplen) : -ENOMEM;
	if (err) {
		free(pcap->rest);
		free(pcap);
		return err;
	}
	pcap->below.event = pcap_event;
	pcap->link.ops = &pcap_ops;
	pcap->link.inner = inner;
	pcap->link.features = inner->features;
	pcap->link.carrier = inner->carrier;
	inner->upper = &pcap->below;
	*out = &pcap->link;
	return 0;
}
