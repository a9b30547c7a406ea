// SPDX-License-Identifier: GPL-2.0-only
/* The wire: frames over a unix socket, back-pressure, and peers that come and go. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "double.h"
#include "expect.h"

static char sent[LKL_FRAME_MAX], got[LKL_FRAME_MAX];

static struct link *ends[2];
static struct upper_double uppers[2];

static void pair_open(void)
{
	int fds[2];

	EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(link_wire_open(fds[i], &ends[i]), 0);
		EXPECT(ends[i]->carrier);
		EXPECT_EQ(ends[i]->features, LKL_NET_CSUM | LKL_NET_TSO);
		upper_double_set(&uppers[i], ends[i]);
	}
}

static void pair_close(void)
{
	ends[0]->ops->close(ends[0]);
	ends[1]->ops->close(ends[1]);
}

static void frames_of_every_size_arrive_intact(void)
{
	const unsigned long sizes[] = { 14, 60, 61, 1514, 9014, 32768, 65535, 65553 };

	pair_open();
	for (unsigned i = 0; i < 8; i++) {
		unsigned long bytes = frame_make(sent, sizes[i], i);

		EXPECT_EQ(frame_send(ends[0], sent, bytes), bytes);
		EXPECT_EQ(frame_await(ends[1], &uppers[1], got), bytes);
		EXPECT(!memcmp(sent, got, bytes));
		EXPECT_EQ(frame_send(ends[1], sent, bytes), bytes);
		EXPECT_EQ(frame_await(ends[0], &uppers[0], got), bytes);
		EXPECT(!memcmp(sent, got, bytes));
	}
	EXPECT_EQ(ends[0]->counters.tx_frames, 8);
	EXPECT_EQ(ends[1]->counters.tx_bytes, ends[0]->counters.rx_bytes);
	EXPECT(ends[0]->ops->idle(ends[0]));
	pair_close();
}

static void full_wire_says_eagain_then_room(void)
{
	unsigned long bytes = frame_make(sent, 65535, 1);
	int queued = 0;
	long ret;

	pair_open();
	while ((ret = frame_send(ends[0], sent, bytes)) == (long)bytes)
		queued++;
	EXPECT_EQ(ret, -EAGAIN);
	EXPECT(queued >= 2);
	ends[0]->ops->poll(ends[0], LKL_NET_TX);
	EXPECT(!(upper_double_events(&uppers[0]) & LKL_NET_TX));
	for (int i = 0; i < queued; i++)
		EXPECT_EQ(frame_await(ends[1], &uppers[1], got), bytes);
	upper_double_await(&uppers[0], LKL_NET_TX);
	EXPECT_EQ(frame_send(ends[0], sent, bytes), bytes);
	EXPECT_EQ(ends[0]->counters.tx_dropped, 0);
	pair_close();
}

static void interest_in_one_outlives_the_other(void)
{
	unsigned long bytes = frame_make(sent, 60, 1);

	pair_open();
	ends[0]->ops->poll(ends[0], LKL_NET_RX | LKL_NET_TX);
	upper_double_await(&uppers[0], LKL_NET_TX);
	EXPECT_EQ(frame_send(ends[1], sent, bytes), bytes);
	upper_double_await(&uppers[0], LKL_NET_RX);
	pair_close();
}

static void *stream_run(void *link)
{
	static char frame[LKL_FRAME_MAX];

	for (unsigned i = 0; i < rounds(2000); i++) {
		unsigned long bytes = frame_make(frame, 14 + i * 37 % 9000, i);

		while (frame_send(link, frame, bytes) != (long)bytes) {
			((struct link *)link)->ops->poll(link, LKL_NET_TX);
			upper_double_await(&uppers[0], LKL_NET_TX);
		}
	}
	return NULL;
}

static void stream_passes_with_back_pressure(void)
{
	pthread_t sender;

	pair_open();
	pthread_create(&sender, NULL, stream_run, ends[0]);
	for (unsigned i = 0; i < rounds(2000); i++) {
		unsigned long bytes = frame_make(sent, 14 + i * 37 % 9000, i);

		EXPECT_EQ(frame_await(ends[1], &uppers[1], got), bytes);
		EXPECT(!memcmp(sent, got, bytes));
	}
	pthread_join(sender, NULL);
	pair_close();
}

static void closed_peer_is_carrier_loss_after_its_last_frames(void)
{
	unsigned long bytes = frame_make(sent, 60, 3);

	pair_open();
	/* Unread frames of ours make the end a reset. */
	for (int unread = 0; unread < 2; unread++) {
		if (unread)
			EXPECT_EQ(frame_send(ends[0], sent, bytes), bytes);
		EXPECT_EQ(frame_send(ends[1], sent, bytes), bytes);
		EXPECT_EQ(frame_send(ends[1], sent, bytes), bytes);
		ends[1]->ops->close(ends[1]);
		ends[0]->ops->poll(ends[0], LKL_NET_RX);
		upper_double_await(&uppers[0], LKL_NET_DOWN | LKL_NET_RX);
		EXPECT_EQ(frame_send(ends[0], sent, bytes), -EPIPE);
		EXPECT_EQ(frame_await(ends[0], &uppers[0], got), bytes);
		EXPECT_EQ(frame_await(ends[0], &uppers[0], got), bytes);
		EXPECT_EQ(frame_await(ends[0], &uppers[0], got), -EPIPE);
		EXPECT_EQ(frame_await(ends[0], &uppers[0], got), -EPIPE);
		ends[0]->ops->close(ends[0]);
		if (!unread)
			pair_open();
	}
}

static void end_met_by_tx_alone_is_carrier_loss(void)
{
	pair_open();
	ends[1]->ops->close(ends[1]);
	EXPECT_EQ(frame_send(ends[0], sent, frame_make(sent, 60, 3)), -EPIPE);
	upper_double_await(&uppers[0], LKL_NET_DOWN);
	EXPECT_EQ(ends[0]->counters.tx_dropped, 1);
	ends[0]->ops->close(ends[0]);
}

static void killed_peer_process_is_carrier_loss(void)
{
	killed_peer_takes_the_carrier(SOCK_SEQPACKET, link_wire_open);
}

static void half_closed_peer_counts_as_gone(void)
{
	struct upper_double upper;
	struct link *link;
	int fds[2];

	EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	EXPECT_EQ(link_wire_open(fds[0], &link), 0);
	upper_double_set(&upper, link);
	EXPECT_EQ(shutdown(fds[1], SHUT_WR), 0);
	EXPECT_EQ(frame_await(link, &upper, got), -EPIPE);
	upper_double_await(&upper, LKL_NET_DOWN);
	link->ops->close(link);
	close(fds[1]);
}

static char path[64];

static void datagram_socket_is_a_wire_that_misses_its_peer_when_it_sends(void)
{
	unsigned long bytes = frame_make(sent, 60, 1);
	struct upper_double upper;
	struct link *link;
	int fds[2];

	EXPECT_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
	EXPECT_EQ(link_wire_open(fds[0], &link), 0);
	upper_double_set(&upper, link);
	EXPECT_EQ(frame_send(link, sent, bytes), bytes);
	EXPECT_EQ(recv(fds[1], got, sizeof(got), 0), bytes);
	EXPECT_EQ(send(fds[1], sent, bytes, 0), bytes);
	EXPECT_EQ(frame_await(link, &upper, got), bytes);
	close(fds[1]);
	EXPECT_EQ(frame_send(link, sent, bytes), -EPIPE);
	upper_double_await(&upper, LKL_NET_DOWN);
	link->ops->close(link);
}

static void listener_serves_one_peer_after_the_other(void)
{
	unsigned long bytes = frame_make(sent, 1514, 5);
	struct link *listener, *peer;
	struct upper_double upper, peer_upper;
	struct stat stat;

	EXPECT_EQ(link_wire_listen(path, &listener), 0);
	EXPECT(!listener->carrier);
	EXPECT_EQ(lstat(path, &stat), 0);
	EXPECT_EQ(stat.st_mode, S_IFSOCK | 0600);
	upper_double_set(&upper, listener);
	EXPECT_EQ(frame_send(listener, sent, bytes), -EPIPE);
	listener->ops->poll(listener, LKL_NET_RX);
	for (unsigned i = 0; i < rounds(50); i++) {
		EXPECT_EQ(link_wire_connect(path, &peer), 0);
		EXPECT(peer->carrier);
		upper_double_set(&peer_upper, peer);
		upper_double_await(&upper, LKL_NET_UP);
		EXPECT_EQ(frame_send(peer, sent, bytes), bytes);
		EXPECT_EQ(frame_await(listener, &upper, got), bytes);
		EXPECT_EQ(frame_send(listener, sent, bytes), bytes);
		EXPECT_EQ(frame_await(peer, &peer_upper, got), bytes);
		peer->ops->close(peer);
		link_end_await(listener, &upper);
	}
	listener->ops->close(listener);
	EXPECT_EQ(lstat(path, &stat), -1);
}

/* The second peer came while the first was there. */
static void next_peer_waits_for_its_turn(void)
{
	unsigned long bytes = frame_make(sent, 60, 5);
	struct link *listener, *peers[2];
	struct upper_double upper, peer_uppers[2];

	EXPECT_EQ(link_wire_listen(path, &listener), 0);
	upper_double_set(&upper, listener);
	listener->ops->poll(listener, LKL_NET_RX);
	EXPECT_EQ(link_wire_connect(path, &peers[0]), 0);
	upper_double_await(&upper, LKL_NET_UP);
	EXPECT_EQ(link_wire_connect(path, &peers[1]), 0);
	for (int i = 0; i < 2; i++)
		upper_double_set(&peer_uppers[i], peers[i]);
	EXPECT_EQ(frame_send(peers[1], sent, bytes), bytes);
	peers[0]->ops->close(peers[0]);
	upper_double_await(&upper, LKL_NET_DOWN | LKL_NET_UP);
	EXPECT_EQ(frame_await(listener, &upper, got), bytes);
	peers[1]->ops->close(peers[1]);
	listener->ops->close(listener);
}

static void listener_that_goes_is_carrier_loss(void)
{
	struct link *listener, *peer;
	struct upper_double upper, peer_upper;

	EXPECT_EQ(link_wire_listen(path, &listener), 0);
	upper_double_set(&upper, listener);
	EXPECT_EQ(link_wire_connect(path, &peer), 0);
	upper_double_set(&peer_upper, peer);
	listener->ops->close(listener);
	link_end_await(peer, &peer_upper);
	peer->ops->close(peer);
}

static void name_in_use_is_refused_and_a_stale_one_replaced(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct link *first, *second;
	FILE *file;
	int fd;

	EXPECT_EQ(link_wire_listen(path, &first), 0);
	EXPECT_EQ(link_wire_listen(path, &second), -EADDRINUSE);
	first->ops->close(first);
	/* As a killed process leaves it. */
	fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	strcpy(address.sun_path, path);
	EXPECT_EQ(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	EXPECT_EQ(link_wire_listen(path, &first), 0);
	first->ops->close(first);
	/* A file is not ours to remove. */
	file = fopen(path, "w");
	fclose(file);
	EXPECT_EQ(link_wire_listen(path, &first), -EADDRINUSE);
	EXPECT_EQ(unlink(path), 0);
}

static void bad_arguments_are_refused(void)
{
	struct link *link;
	char long_path[200];
	int fds[2];

	memset(long_path, 'a', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = 0;
	EXPECT_EQ(link_wire_listen(long_path, &link), -ENAMETOOLONG);
	EXPECT_EQ(link_wire_connect(long_path, &link), -ENAMETOOLONG);
	EXPECT_EQ(link_wire_connect("", &link), -EINVAL);
	EXPECT_EQ(link_wire_connect(path, &link), -ENOENT);
	EXPECT_EQ(link_wire_listen("/nowhere/at/all", &link), -ENOENT);
	EXPECT_EQ(link_wire_open(-1, &link), -EBADF);
	EXPECT_EQ(link_wire_open(0, &link) < 0, true);
	EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	EXPECT_EQ(link_wire_open(fds[0], &link), -EPROTOTYPE);
	close(fds[0]);
	close(fds[1]);
	fds[0] = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	EXPECT_EQ(link_wire_open(fds[0], &link), -ENOTCONN);
	/* It is still the caller's. */
	EXPECT_EQ(close(fds[0]), 0);
}

int main(void)
{
	snprintf(path, sizeof(path), "/tmp/lkls-wire-%d", getpid());
	EXPECT_EQ(host_io_start(), 0);
	CASE(frames_of_every_size_arrive_intact, 20);
	CASE(full_wire_says_eagain_then_room, 20);
	CASE(interest_in_one_outlives_the_other, 20);
	CASE(stream_passes_with_back_pressure, 120);
	CASE(closed_peer_is_carrier_loss_after_its_last_frames, 20);
	CASE(end_met_by_tx_alone_is_carrier_loss, 20);
	CASE(killed_peer_process_is_carrier_loss, 20);
	CASE(half_closed_peer_counts_as_gone, 20);
	CASE(datagram_socket_is_a_wire_that_misses_its_peer_when_it_sends, 20);
	CASE(listener_serves_one_peer_after_the_other, 60);
	CASE(next_peer_waits_for_its_turn, 20);
	CASE(listener_that_goes_is_carrier_loss, 20);
	CASE(name_in_use_is_refused_and_a_stale_one_replaced, 20);
	CASE(bad_arguments_are_refused, 20);
	host_io_stop();
	return 0;
}
