/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Ethernet frames on a stream socket, each behind its length: 4 bytes, big endian. Source: passt(1),
 * QEMU's netdev "stream". One thread at a time, unless said otherwise.
 */
#ifndef LINK_PASST_STREAM_H
#define LINK_PASST_STREAM_H

#include <stdbool.h>
#include <sys/uio.h>

/* The longest that passt takes. */
#define PASST_FRAME_MAX 65535ul

struct passt_stream;

/* fd: non-blocking, not owned. Return: NULL: no memory. */
struct passt_stream *passt_stream_new(int fd);
void passt_stream_free(struct passt_stream *stream);

/*
 * Sends a frame of PASST_FRAME_MAX bytes at most. pieces[0] is room for the length, the frame is in
 * the others. What the socket does not take of it is kept, and goes before the next one.
 * Return: 0; -EAGAIN: nothing of it was taken; -errno.
 */
int passt_stream_send(struct passt_stream *stream, struct iovec *pieces, int count);
/* Sends what is kept. Return: 0; -EAGAIN: not all of it; -errno. */
int passt_stream_flush(struct passt_stream *stream);
/* Context: any. */
bool passt_stream_keeps(const struct passt_stream *stream);

/*
 * The next frame, which is there until the one after it is asked for. Return: its bytes, 0 to
 * LKL_FRAME_MAX - LKL_VNET_HDR; -EAGAIN; -EPIPE: the end; -EBADMSG: the end came in the middle of a
 * frame; -EPROTO: what comes is no length, and nobody knows where the next one is; -errno.
 */
long passt_stream_next(struct passt_stream *stream, char **frame);
/* passt_stream_next() has something to say without reading. */
bool passt_stream_held(const struct passt_stream *stream);

#endif
