/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A socketpair that carries bytes: one end is the program's, the other ours.
 * Nothing here blocks.
 */
#ifndef HOST_STREAM_H
#define HOST_STREAM_H

#include <stddef.h>

/* program is blocking, as sockets are made. Return: 0 or -errno. */
int host_stream_open(int *program, int *ours);
/* Return: bytes, 0 at the end, -EAGAIN, or -errno. */
long host_stream_recv(int fd, void *buf, size_t len);
/* Return: bytes, -EAGAIN, or -errno: -EPIPE if nobody will read it. */
long host_stream_send(int fd, const void *buf, size_t len);
/* The other end reads the end of file. */
void host_stream_end(int fd);
/* What the other end writes is refused. */
void host_stream_refuse(int fd);
void host_stream_close(int fd);

#endif
