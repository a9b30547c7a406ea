// SPDX-License-Identifier: GPL-2.0-only
/* What makes no frames on a passt link: dropped and counted, or the end of the link. */
#include <errno.h>

#include "passt_peer.h"

#define STREAMS 10000u

static void end_in_the_middle_of_a_frame_is_counted(void)
{
	for (unsigned long bytes = 1; bytes < 64; bytes += 3) {
		open_pair();
		raw_make(raw, 60, 1);
		write_all(raw, bytes);
		close(peer);
		EXPECT_EQ(frame_await(link_, &upper, got), -EPIPE);
		upper_double_await(&upper, LKL_NET_DOWN);
		EXPECT_EQ(frame_await(link_, &upper, got), -EPIPE);
		EXPECT_EQ(link_->counters.rx_malformed, 1);
		link_->ops->close(link_);
	}
}

static void frame_too_short_is_dropped_and_counted(void)
{
	open_pair();
	for (unsigned long body = 0; body < 14; body++) {
		write_all(raw, raw_make(raw, body, 1));
		write_all(raw, raw_make(raw, 60, 2));
		EXPECT_EQ(frame_await(link_, &upper, got), -EBADMSG);
		expect_frame(60, 2);
	}
	EXPECT_EQ(link_->counters.rx_malformed, 14);
	close_pair();
}

static void length_of_no_frame_ends_the_link(void)
{
	const uint32_t lengths[] = { LKL_FRAME_MAX - LKL_VNET_HDR + 1, 1 << 20, 0x80000000,
				     0xffffffff };

	for (unsigned i = 0; i < 4; i++) {
		const uint32_t length = htonl(lengths[i]);

		open_pair();
		write_all(raw, raw_make(raw, 60, 1));
		write_all(&length, 4);
		expect_frame(60, 1);
		EXPECT_EQ(frame_await(link_, &upper, got), -EPIPE);
		upper_double_await(&upper, LKL_NET_DOWN);
		EXPECT_EQ(link_->counters.rx_malformed, 1);
		/* The peer learns it, too. */
		EXPECT_EQ(recv(peer, raw, 1, 0), 0);
		EXPECT_EQ(frame_send(link_, sent, frame_make(sent, 60, 1)), -EPIPE);
		close_pair();
	}
}

static unsigned seed_;

static unsigned any(unsigned below)
{
	seed_ = seed_ * 1664525u + 1013904223u;
	return (seed_ >> 8) % below;
}

/* Frames good and bad, and then mostly noise. */
static void any_stream_is_dropped_counted_or_the_end(void)
{
	static char bytes[70000];
	unsigned good, bad;
	long ret;

	for (unsigned i = 0; i < STREAMS; i++) {
		unsigned long filled = 0;
		unsigned frames = any(6), expected = 0, short_ones = 0;

		seed_ = i;
		open_pair();
		while (frames--) {
			unsigned long body = any(4) ? 14 + any(2000) : any(14);

			filled += raw_make(bytes + filled, body, any(1000));
			expected += body >= 14;
			short_ones += body < 14;
		}
		/* Noise of three bytes at most is no length: a length would make it frames, perhaps. */
		for (unsigned noise = any(4) ? any(4) : 4 + any(400), n = 0; n < noise; n++) {
			bytes[filled++] = (char)(any(2) ? any(256) : 0);
			/* And this is one of a frame that cannot be. */
			if (noise > 3 && n == 0)
				bytes[filled - 1] = (char)0xff;
		}
		for (unsigned long at = 0, part; at < filled; at += part) {
			part = 1 + any((unsigned)filled);
			if (part > filled - at)
				part = filled - at;
			write_all(bytes + at, part);
		}
		shutdown(peer, SHUT_WR);
		good = bad = 0;
		while ((ret = frame_await(link_, &upper, got)) != -EPIPE) {
			good += ret > 0;
			bad += ret == -EBADMSG;
		}
		EXPECT_EQ(good, expected);
		EXPECT_EQ(bad, short_ones);
		EXPECT_EQ(link_->counters.rx_frames, expected);
		EXPECT(link_->counters.rx_malformed - short_ones <= 1);
		upper_double_await(&upper, LKL_NET_DOWN);
		close_pair();
	}
}

/* Whatever it makes of them: what is handed up has the size of a frame. */
static void pure_noise_comes_to_an_end(void)
{
	static char bytes[3000];

	for (unsigned i = 0; i < STREAMS; i++) {
		long ret;

		seed_ = i;
		open_pair();
		/* Small lengths are frequent. */
		for (unsigned n = 0; n < sizeof(bytes); n++)
			bytes[n] = (char)(any(4) ? 0 : any(256));
		write_all(bytes, any(sizeof(bytes)) + 1);
		shutdown(peer, SHUT_WR);
		while ((ret = frame_await(link_, &upper, got)) != -EPIPE)
			EXPECT(ret == -EBADMSG ||
			       (ret >= LKL_VNET_HDR + 14 && ret <= LKL_FRAME_MAX));
		close_pair();
	}
}

int main(void)
{
	EXPECT_EQ(host_io_start(), 0);
	CASE(end_in_the_middle_of_a_frame_is_counted, 20);
	CASE(frame_too_short_is_dropped_and_counted, 20);
	CASE(length_of_no_frame_ends_the_link, 20);
	CASE(any_stream_is_dropped_counted_or_the_end, 120);
	CASE(pure_noise_comes_to_an_end, 120);
	host_io_stop();
	return 0;
}
