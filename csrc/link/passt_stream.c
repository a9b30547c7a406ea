// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames on a stream: many are read at once, and one that was only sent in part is finished later.
 */
#include "passt_stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <lkl_host.h>

#define LENGTH_BYTES sizeof(uint32_t)
#define RX_FRAME_MAX (LKL_FRAME_MAX - LKL_VNET_HDR)
/* Several of the longest. Fits a processor's cache. */
#define RX_BYTES (256ul * 1024)

struct passt_stream {
	int fd;
	unsigned long rx_start, rx_end; /* what was read and not yet taken */
	unsigned long tx_start, tx_end; /* what is kept; tx_end: atomic, 0: nothing */
	char tx[LENGTH_BYTES + PASST_FRAME_MAX];
	char rx[RX_BYTES];
};

struct passt_stream *passt_stream_new(int fd)
{
	struct passt_stream *stream = calloc(1, sizeof(*stream));

	if (stream)
		stream->fd = fd;
	return stream;
}

void passt_stream_free(struct passt_stream *stream)
{
	free(stream);
}

bool passt_stream_keeps(const struct passt_stream *stream)
{
	return __atomic_load_n(&stream->tx_end, __ATOMIC_RELAXED);
}

int passt_stream_flush(struct passt_stream *stream)
{
	while (stream->tx_start < stream->tx_end) {
		long sent = syscall(SYS_sendto, stream->fd, stream->tx + stream->tx_start,
				    stream->tx_end - stream->tx_start, MSG_DONTWAIT | MSG_NOSIGNAL,
				    NULL, 0);

		if (sent < 0)
			return -errno;
		stream->tx_start += (unsigned long)sent;
	}
	stream->tx_start = 0;
	__atomic_store_n(&stream->tx_end, 0, __ATOMIC_RELAXED);
	return 0;
}

/* Keeps all but the first `sent` bytes. */
static void rest_keep(struct passt_stream *stream, const struct iovec *pieces, int count,
		      unsigned long sent)
{
	unsigned long end = 0;

	for (int i = 0; i < count; i++) {
		const unsigned long skip = sent < pieces[i].iov_len ? sent : pieces[i].iov_len;

		memcpy(stream->tx + end, (const char *)pieces[i].iov_base + skip,
		       pieces[i].iov_len - skip);
		end += pieces[i].iov_len - skip;
		sent -= skip;
	}
	__atomic_store_n(&stream->tx_end, end, __ATOMIC_RELAXED);
}

int passt_stream_send(struct passt_stream *stream, struct iovec *pieces, int count)
{
	struct msghdr message = { .msg_iov = pieces, .msg_iovlen = (size_t)count };
	int err = passt_stream_flush(stream);
	unsigned long bytes = 0;
	uint32_t length;
	long sent;

	if (err)
		return err;
	for (int i = 1; i < count; i++)
		bytes += pieces[i].iov_len;
	length = htonl((uint32_t)bytes);
	pieces[0] = (struct iovec){ &length, LENGTH_BYTES };
	bytes += LENGTH_BYTES;
	sent = syscall(SYS_sendmsg, stream->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0)
		return -errno;
	if ((unsigned long)sent < bytes)
		rest_keep(stream, pieces, count, (unsigned long)sent);
	return 0;
}

/* Return: bytes of the frame that begins what was read, or -EAGAIN: not even its length is there. */
static long length_of_first(const struct passt_stream *stream)
{
	uint32_t length;

	if (stream->rx_end - stream->rx_start < LENGTH_BYTES)
		return -EAGAIN;
	memcpy(&length, stream->rx + stream->rx_start, LENGTH_BYTES);
	return ntohl(length);
}

bool passt_stream_held(const struct passt_stream *stream)
{
	const long bytes = length_of_first(stream);

	return bytes > (long)RX_FRAME_MAX ||
	       (bytes >= 0 &&
		stream->rx_end - stream->rx_start >= LENGTH_BYTES + (unsigned long)bytes);
}

/* Return: 0 or -errno. */
static int stream_read(struct passt_stream *stream)
{
	const unsigned long held = stream->rx_end - stream->rx_start;
	long got;

	memmove(stream->rx, stream->rx + stream->rx_start, held);
	stream->rx_start = 0;
	stream->rx_end = held;
	got = syscall(SYS_recvfrom, stream->fd, stream->rx + held, RX_BYTES - held, MSG_DONTWAIT,
		      NULL, NULL);
	if (got > 0) {
		stream->rx_end += (unsigned long)got;
		return 0;
	}
	if (got < 0)
		return -errno;
	stream->rx_end = 0;
	return held ? -EBADMSG : -EPIPE;
}

long passt_stream_next(struct passt_stream *stream, char **frame)
{
	long bytes;
	int err;

	while (!passt_stream_held(stream)) {
		err = stream_read(stream);
		if (err)
			return err;
	}
	bytes = length_of_first(stream);
	if (bytes > (long)RX_FRAME_MAX)
		return -EPROTO;
	*frame = stream->rx + stream->rx_start + LENGTH_BYTES;
	stream->rx_start += LENGTH_BYTES + (unsigned long)bytes;
	return bytes;
}
