// SPDX-License-Identifier: GPL-2.0-only
/* Frames on a stream socket, as passt has them: whole, in pieces, and to the end. */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "passt_peer.h"

static void read_all(void *to, unsigned long bytes)
{
	EXPECT_EQ(recv(peer, to, bytes, MSG_WAITALL), bytes);
}

static void expect_raw(unsigned long body_bytes, unsigned seed)
{
	static char expected[4 + LKL_FRAME_MAX];
	unsigned long bytes = raw_make(expected, body_bytes, seed);

	read_all(raw, bytes);
	EXPECT(!memcmp(raw, expected, bytes));
}

static void frames_of_every_size_go_behind_their_length(void)
{
	const unsigned long sizes[] = { 14, 60, 61, 1514, 9014, 32768, 65534, 65535 };

	open_pair();
	for (unsigned i = 0; i < 8; i++) {
		unsigned long bytes = frame_make(sent, sizes[i], i);

		EXPECT_EQ(frame_send(link_, sent, bytes), bytes);
		expect_raw(sizes[i], i);
		write_all(raw, raw_make(raw, sizes[i], i + 1));
		expect_frame(sizes[i], i + 1);
	}
	EXPECT_EQ(link_->counters.tx_frames, 8);
	EXPECT_EQ(link_->counters.tx_bytes, link_->counters.rx_bytes);
	EXPECT(link_->ops->idle(link_));
	close_pair();
}

static void frame_longer_than_passt_takes_is_dropped(void)
{
	open_pair();
	EXPECT_EQ(frame_send(link_, sent, frame_make(sent, FRAME_MAX + 1, 1)), -EMSGSIZE);
	EXPECT_EQ(link_->counters.tx_too_long, 1);
	EXPECT_EQ(link_->counters.tx_dropped, 1);
	EXPECT_EQ(frame_send(link_, sent, frame_make(sent, 60, 2)), 72);
	expect_raw(60, 2);
	close_pair();
}

static uint16_t plain_sum(const char *data, unsigned long bytes)
{
	uint32_t sum = 0;

	for (unsigned long i = 0; i < bytes; i++)
		sum += (uint32_t)(uint8_t)data[i] << (i % 2 ? 0 : 8);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

static void checksum_is_finished_and_the_stacks_frame_left_alone(void)
{
	static char before[LKL_FRAME_MAX];

	open_pair();
	for (unsigned i = 0; i < rounds(2000); i++) {
		struct virtio_net_hdr_v1 header = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM };
		/* The header ends where frame_send() begins another piece, at most. */
		unsigned start = 14 + i * 7 % 30, offset = i * 5 % 15;
		unsigned long body = start + offset + 2 + i * 131 % 5000;
		unsigned long bytes = frame_make(sent, body, i);
		uint16_t sum;

		header.csum_start = htole16(start);
		header.csum_offset = htole16(offset);
		memcpy(sent, &header, sizeof(header));
		memcpy(before, sent, bytes);
		EXPECT_EQ(frame_send(link_, sent, bytes), bytes);
		EXPECT(!memcmp(before, sent, bytes));
		read_all(raw, 4 + body);
		/* What was there and is summed up in it is no longer part of the sum. */
		sum = ~plain_sum(sent + LKL_VNET_HDR + start, body - start);
		sum = htons(sum ? sum : 0xffff);
		EXPECT(!memcmp(raw + 4 + start + offset, &sum, 2));
		memcpy(raw + 4 + start + offset, sent + LKL_VNET_HDR + start + offset, 2);
		EXPECT(!memcmp(raw + 4, sent + LKL_VNET_HDR, body));
	}
	close_pair();
}

/* Return: how many frames were queued. */
static unsigned fill(void)
{
	unsigned long bytes;
	unsigned count = 0;
	long ret;

	for (;;) {
		bytes = frame_make(sent, 14 + count * 7919 % 65000, count);
		ret = frame_send(link_, sent, bytes);
		if (ret != (long)bytes)
			break;
		count++;
	}
	EXPECT_EQ(ret, -EAGAIN);
	return count;
}

static void full_socket_says_eagain_then_room_and_nothing_is_lost(void)
{
	unsigned count;

	open_pair();
	count = fill();
	EXPECT(count >= 2);
	link_->ops->poll(link_, LKL_NET_TX);
	for (unsigned i = 0; i + 1 < count; i++)
		expect_raw(14 + i * 7919 % 65000, i);
	upper_double_await(&upper, LKL_NET_TX);
	EXPECT_EQ(frame_send(link_, sent, frame_make(sent, 60, 1)), 72);
	expect_raw(14 + (count - 1) * 7919 % 65000, count - 1);
	expect_raw(60, 1);
	EXPECT_EQ(link_->counters.tx_dropped, 0);
	EXPECT_EQ(link_->counters.tx_frames, count + 1);
	close_pair();
}

static void frame_sent_in_part_is_finished_without_another_one(void)
{
	unsigned count = 0;

	open_pair();
	while (link_->ops->idle(link_)) {
		EXPECT_EQ(frame_send(link_, sent, frame_make(sent, FRAME_MAX, count)),
			  12 + FRAME_MAX);
		count++;
	}
	for (unsigned i = 0; i + 1 < count; i++)
		expect_raw(FRAME_MAX, i);
	/* There is room, and the reader is told. */
	upper_double_await(&upper, LKL_NET_RX);
	write_all(raw, raw_make(raw, 60, 1));
	expect_frame(60, 1);
	EXPECT(link_->ops->idle(link_));
	expect_raw(FRAME_MAX, count - 1);
	close_pair();
}

static void *stream_run(void *unused)
{
	static char frames[400000];
	unsigned long filled = 0;
	unsigned seed = 7;

	(void)unused;
	for (unsigned i = 0; i < rounds(2000); i++) {
		filled += raw_make(frames + filled, 14 + i * 37 % 9000, i);
		if (filled < 300000 && i + 1 < rounds(2000))
			continue;
		for (unsigned long at = 0, part; at < filled; at += part) {
			seed = seed * 1664525u + 1013904223u;
			part = 1 + (seed >> 8) % (seed & 64 ? 7 : 30000);
			if (part > filled - at)
				part = filled - at;
			write_all(frames + at, part);
		}
		filled = 0;
	}
	return NULL;
}

static void frames_in_pieces_of_any_size_are_put_together(void)
{
	pthread_t sender;

	open_pair();
	pthread_create(&sender, NULL, stream_run, NULL);
	for (unsigned i = 0; i < rounds(2000); i++)
		expect_frame(14 + i * 37 % 9000, i);
	pthread_join(sender, NULL);
	EXPECT_EQ(link_->counters.rx_malformed, 0);
	close_pair();
}

static void frame_that_was_read_is_told_to_a_new_reader(void)
{
	unsigned long bytes = raw_make(raw, 60, 1);

	open_pair();
	bytes += raw_make(raw + bytes, 60, 2);
	write_all(raw, bytes);
	expect_frame(60, 1);
	upper_double_set(&upper, link_);
	link_->ops->poll(link_, LKL_NET_RX);
	upper_double_await(&upper, LKL_NET_RX);
	expect_frame(60, 2);
	close_pair();
}

static void end_is_carrier_loss_after_the_last_frames(void)
{
	/* Unread frames of ours make the end a reset. */
	for (int unread = 0; unread < 2; unread++) {
		open_pair();
		if (unread)
			EXPECT_EQ(frame_send(link_, sent, frame_make(sent, 60, 3)), 72);
		write_all(raw, raw_make(raw, 60, 1));
		write_all(raw, raw_make(raw, 61, 2));
		close(peer);
		link_->ops->poll(link_, LKL_NET_RX);
		upper_double_await(&upper, LKL_NET_DOWN | LKL_NET_RX);
		EXPECT_EQ(frame_send(link_, sent, frame_make(sent, 60, 3)), -EPIPE);
		expect_frame(60, 1);
		expect_frame(61, 2);
		EXPECT_EQ(frame_await(link_, &upper, got), -EPIPE);
		EXPECT_EQ(frame_await(link_, &upper, got), -EPIPE);
		EXPECT_EQ(link_->counters.rx_malformed, 0);
		link_->ops->close(link_);
	}
}

/* An event of the pair's; those that were armed before it have come. */
static void event_of_pair(void)
{
	write_all(raw, raw_make(raw, 60, 1));
	link_->ops->poll(link_, LKL_NET_RX);
	upper_double_await(&upper, LKL_NET_RX);
	expect_frame(60, 1);
}

/* It would be read again and again, for ever. */
static void end_that_is_known_makes_no_more_events(void)
{
	struct upper_double ended_upper;
	struct link *ended;

	open_pair();
	ended = link_;
	upper_double_set(&ended_upper, ended);
	close(peer);
	open_pair();
	EXPECT_EQ(frame_await(ended, &ended_upper, got), -EPIPE);
	upper_double_await(&ended_upper, LKL_NET_DOWN);
	event_of_pair();
	upper_double_await(&ended_upper, upper_double_events(&ended_upper));
	EXPECT_EQ(frame_await(ended, &ended_upper, got), -EPIPE);
	event_of_pair();
	EXPECT_EQ(upper_double_events(&ended_upper), 0);
	close_pair();
	ended->ops->close(ended);
}

static void end_met_by_tx_alone_is_carrier_loss(void)
{
	open_pair();
	close(peer);
	EXPECT_EQ(frame_send(link_, sent, frame_make(sent, 60, 3)), -EPIPE);
	upper_double_await(&upper, LKL_NET_DOWN);
	EXPECT_EQ(link_->counters.tx_dropped, 1);
	link_->ops->close(link_);
}

static void half_closed_peer_counts_as_gone(void)
{
	open_pair();
	EXPECT_EQ(shutdown(peer, SHUT_WR), 0);
	EXPECT_EQ(frame_await(link_, &upper, got), -EPIPE);
	upper_double_await(&upper, LKL_NET_DOWN);
	close_pair();
}

static void killed_peer_process_is_carrier_loss(void)
{
	killed_peer_takes_the_carrier(SOCK_STREAM, link_passt_open);
}

static uint16_t checksum_of(const char *frame, unsigned long tcp, unsigned pseudo, unsigned length)
{
	uint32_t sum = pseudo + IPPROTO_TCP + length + plain_sum(frame + tcp, length);

	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

/* Return: bytes; a TCP segment of no data, and no options, with a good checksum. */
static unsigned long segment_make(char *to, bool v6, uint8_t flags, uint32_t acknowledged)
{
	const unsigned long tcp = 14 + (v6 ? 40 : 20), bytes = tcp + 20;
	const uint32_t length = htonl((uint32_t)bytes);
	char *frame = to + 4;
	unsigned pseudo;
	uint16_t sum;

	memcpy(to, &length, 4);
	memset(frame, 0x11, tcp + 20);
	frame[12] = v6 ? (char)0x86 : 8;
	frame[13] = v6 ? (char)0xdd : 0;
	frame[14] = 0x45;
	frame[v6 ? 20 : 23] = IPPROTO_TCP;
	acknowledged = htonl(acknowledged);
	memcpy(frame + tcp + 8, &acknowledged, 4);
	frame[tcp + 13] = (char)flags;
	frame[tcp + 16] = frame[tcp + 17] = 0;
	pseudo = plain_sum(frame + (v6 ? 22 : 26), v6 ? 32 : 8);
	sum = htons((uint16_t)~checksum_of(frame, tcp, pseudo, 20));
	memcpy(frame + tcp + 16, &sum, 2);
	return 4 + bytes;
}

static void reset_that_acknowledges_says_so(void)
{
	const struct {
		uint8_t flags;
		uint32_t acknowledged;
		uint8_t expected;
	} cases[] = {
		{ 0x04, 0xfec36e77, 0x14 },
		{ 0x04, 0, 0x04 },
		{ 0x14, 0xfec36e77, 0x14 },
		{ 0x02, 0xfec36e77, 0x02 },
	};

	open_pair();
	for (unsigned i = 0; i < 8; i++) {
		const bool v6 = i % 2;
		const unsigned long tcp = 14 + (v6 ? 40 : 20);
		char *frame = got + LKL_VNET_HDR;

		write_all(raw,
			  segment_make(raw, v6, cases[i / 2].flags, cases[i / 2].acknowledged));
		EXPECT_EQ(frame_await(link_, &upper, got), LKL_VNET_HDR + tcp + 20);
		EXPECT_EQ((uint8_t)frame[tcp + 13], cases[i / 2].expected);
		EXPECT_EQ(checksum_of(frame, tcp, plain_sum(frame + (v6 ? 22 : 26), v6 ? 32 : 8),
				      20),
			  0xffff);
	}
	close_pair();
}

static void bad_descriptors_are_refused(void)
{
	int fds[2];

	EXPECT_EQ(link_passt_open(-1, &link_), -EBADF);
	EXPECT_EQ(link_passt_open(0, &link_) < 0, true);
	EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	EXPECT_EQ(link_passt_open(fds[0], &link_), -EPROTOTYPE);
	close(fds[0]);
	close(fds[1]);
	fds[0] = socket(AF_UNIX, SOCK_STREAM, 0);
	EXPECT_EQ(link_passt_open(fds[0], &link_), -ENOTCONN);
	/* It is still the caller's. */
	EXPECT_EQ(close(fds[0]), 0);
}

static void stream_socket_handed_in_is_one(void)
{
	const uint8_t mac[6] = { 2 };
	int fds[2];

	EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	EXPECT_EQ(link_fd_open(fds[0], mac, &link_), 0);
	EXPECT(!strcmp(link_->ops->kind, "passt"));
	peer = fds[1];
	close_pair();
}

int main(void)
{
	EXPECT_EQ(host_io_start(), 0);
	CASE(frames_of_every_size_go_behind_their_length, 20);
	CASE(frame_longer_than_passt_takes_is_dropped, 20);
	CASE(checksum_is_finished_and_the_stacks_frame_left_alone, 60);
	CASE(full_socket_says_eagain_then_room_and_nothing_is_lost, 60);
	CASE(frame_sent_in_part_is_finished_without_another_one, 20);
	CASE(frames_in_pieces_of_any_size_are_put_together, 120);
	CASE(frame_that_was_read_is_told_to_a_new_reader, 20);
	CASE(end_is_carrier_loss_after_the_last_frames, 20);
	CASE(end_that_is_known_makes_no_more_events, 20);
	CASE(end_met_by_tx_alone_is_carrier_loss, 20);
	CASE(half_closed_peer_counts_as_gone, 20);
	CASE(killed_peer_process_is_carrier_loss, 20);
	CASE(reset_that_acknowledges_says_so, 20);
	CASE(bad_descriptors_are_refused, 20);
	CASE(stream_socket_handed_in_is_one, 20);
	host_io_stop();
	return 0;
}
