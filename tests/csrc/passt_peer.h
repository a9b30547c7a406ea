/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A passt link, and its peer's end of the socket, in the hands of a test.
 */
#ifndef PASST_PEER_H
#define PASST_PEER_H

#include <arpa/inet.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/socket.h>

#include "double.h"
#include "expect.h"

#define FRAME_MAX 65535u

static char sent[LKL_FRAME_MAX], got[LKL_FRAME_MAX], raw[4 + LKL_FRAME_MAX];

static struct upper_double upper;
static struct link *link_;
static int peer;

static inline void open_pair(void)
{
	int fds[2];

	EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	EXPECT_EQ(link_passt_open(fds[0], &link_), 0);
	EXPECT(link_->carrier);
	EXPECT_EQ(link_->mtu, 65520);
	upper_double_set(&upper, link_);
	peer = fds[1];
}

static inline void close_pair(void)
{
	link_->ops->close(link_);
	close(peer);
}

static inline void write_all(const void *from, unsigned long bytes)
{
	EXPECT_EQ(send(peer, from, bytes, MSG_NOSIGNAL), bytes);
}

/* As the peer sends it. Return: bytes, of the whole. */
static inline unsigned long raw_make(char *to, unsigned long body_bytes, unsigned seed)
{
	const uint32_t length = htonl((uint32_t)body_bytes);
	static char frame[LKL_FRAME_MAX];

	frame_make(frame, body_bytes, seed);
	memcpy(to, &length, 4);
	memcpy(to + 4, frame + LKL_VNET_HDR, body_bytes);
	return 4 + body_bytes;
}

static inline void expect_frame(unsigned long body_bytes, unsigned seed)
{
	unsigned long bytes = frame_make(sent, body_bytes, seed);

	EXPECT_EQ(frame_await(link_, &upper, got), bytes);
	EXPECT(!memcmp(sent + LKL_VNET_HDR, got + LKL_VNET_HDR, body_bytes));
	/* It needs no checking: it came through memory. */
	EXPECT_EQ(got[0], VIRTIO_NET_HDR_F_DATA_VALID);
}

#endif
