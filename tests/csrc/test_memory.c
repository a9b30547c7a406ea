// SPDX-License-Identifier: GPL-2.0-only
/* The in-memory double of a link. */
#include <errno.h>
#include <string.h>

#include "double.h"
#include "expect.h"

#define DEPTH 4

static char sent[LKL_FRAME_MAX], got[LKL_FRAME_MAX];

static struct link *ends[2];
static struct upper_double uppers[2];

static void pair_open(void)
{
	EXPECT_EQ(link_memory_pair(DEPTH, ends), 0);
	for (int i = 0; i < 2; i++)
		upper_double_set(&uppers[i], ends[i]);
}

static void pair_close(void)
{
	ends[0]->ops->close(ends[0]);
	ends[1]->ops->close(ends[1]);
}

static void frames_arrive_intact_and_in_order(void)
{
	pair_open();
	for (unsigned i = 0; i < 200; i++) {
		unsigned long bytes = frame_make(sent, 14 + i * 300, i);

		EXPECT_EQ(frame_send(ends[i % 2], sent, bytes), bytes);
		EXPECT_EQ(frame_await(ends[!(i % 2)], &uppers[!(i % 2)], got), bytes);
		EXPECT(!memcmp(sent, got, bytes));
	}
	EXPECT_EQ(ends[0]->counters.tx_frames, 100);
	EXPECT_EQ(ends[0]->counters.rx_frames, 100);
	EXPECT_EQ(ends[0]->counters.tx_bytes, ends[1]->counters.rx_bytes);
	pair_close();
}

static void full_queue_says_eagain_then_room(void)
{
	unsigned long bytes = frame_make(sent, 100, 1);

	pair_open();
	for (int i = 0; i < DEPTH; i++)
		EXPECT_EQ(frame_send(ends[0], sent, bytes), bytes);
	EXPECT_EQ(frame_send(ends[0], sent, bytes), -EAGAIN);
	ends[0]->ops->poll(ends[0], LKL_NET_TX);
	EXPECT_EQ(frame_await(ends[1], &uppers[1], got), bytes);
	upper_double_await(&uppers[0], LKL_NET_TX);
	EXPECT_EQ(frame_send(ends[0], sent, bytes), bytes);
	pair_close();
}

static void closed_end_is_carrier_loss(void)
{
	pair_open();
	ends[0]->ops->close(ends[0]);
	upper_double_await(&uppers[1], LKL_NET_DOWN);
	EXPECT_EQ(frame_send(ends[1], sent, frame_make(sent, 60, 1)), -EPIPE);
	EXPECT_EQ(frame_await(ends[1], &uppers[1], got), -EPIPE);
	ends[1]->ops->close(ends[1]);
}

static void injected_bytes_come_in(void)
{
	unsigned long bytes = frame_make(sent, 60, 7);

	pair_open();
	EXPECT_EQ(link_memory_inject(ends[0], sent, bytes), 0);
	EXPECT_EQ(link_memory_inject(ends[0], sent, 3), 0);
	EXPECT_EQ(frame_await(ends[0], &uppers[0], got), bytes);
	EXPECT(!memcmp(sent, got, bytes));
	EXPECT_EQ(frame_await(ends[0], &uppers[0], got), -EBADMSG);
	EXPECT_EQ(ends[0]->counters.rx_malformed, 1);
	pair_close();
}

static void reader_without_room_loses_the_frame_and_counts_it(void)
{
	unsigned long bytes = frame_make(sent, 1000, 7);
	struct lkl_iovec small = { got, 100 };

	pair_open();
	EXPECT_EQ(frame_send(ends[0], sent, bytes), bytes);
	EXPECT_EQ(ends[1]->ops->rx(ends[1], &small, 1), -ENOBUFS);
	EXPECT_EQ(ends[1]->counters.rx_dropped, 1);
	EXPECT_EQ(ends[1]->counters.rx_malformed, 0);
	pair_close();
}

int main(void)
{
	struct link *none[2];

	EXPECT_EQ(link_memory_pair(0, none), -EINVAL);
	EXPECT_EQ(host_io_start(), 0);
	CASE(frames_arrive_intact_and_in_order, 20);
	CASE(full_queue_says_eagain_then_room, 20);
	CASE(closed_end_is_carrier_loss, 20);
	CASE(injected_bytes_come_in, 20);
	CASE(reader_without_room_loses_the_frame_and_counts_it, 20);
	host_io_stop();
	return 0;
}
