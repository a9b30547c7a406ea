// SPDX-License-Identifier: GPL-2.0-only
/* Impairment: loss that can be repeated, delay, rate, order, cuts. */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <string.h>

#include "double.h"
#include "expect.h"
#include "link/frame.h"
#include "link/impair.h"

#define DEPTH 4096

static char frame[LKL_FRAME_MAX];
static const struct link_impair_direction none;
static struct link *near, *far;
static struct upper_double upper, far_upper;

static void path_open(uint64_t seed, struct link_impair_direction tx,
		      struct link_impair_direction rx)
{
	struct link *ends[2];

	EXPECT_EQ(link_memory_pair(DEPTH, ends), 0);
	EXPECT_EQ(link_impair_wrap(ends[0], seed, &tx, &rx, &near), 0);
	far = ends[1];
	upper_double_set(&upper, near);
	upper_double_set(&far_upper, far);
}

static void path_close(void)
{
	near->ops->close(near);
	far->ops->close(far);
}

/* A frame that tells its number. */
static void number_send(struct link *link, unsigned number, unsigned long body_bytes)
{
	unsigned long bytes = frame_make(frame, body_bytes, number);

	memcpy(frame + LKL_VNET_HDR, &number, sizeof(number));
	EXPECT_EQ(frame_send(link, frame, bytes), bytes);
}

static unsigned number_of_frame(void)
{
	unsigned number;

	memcpy(&number, frame + LKL_VNET_HDR, sizeof(number));
	return number;
}

/* Return: the number, or -EAGAIN. */
static long number_take(struct link *link)
{
	struct lkl_iovec iov = { frame, sizeof(frame) };
	long bytes = link->ops->rx(link, &iov, 1);

	return bytes < 0 ? bytes : (long)number_of_frame();
}

/*
 * What the kernel half does on LKL_NET_RX: reads all that there is, which sends on what is due;
 * then asks again.
 * Return: frames that came in.
 */
static unsigned near_service(void)
{
	unsigned taken = 0;

	upper_double_await(&upper, LKL_NET_RX);
	while (number_take(near) >= 0)
		taken++;
	near->ops->poll(near, LKL_NET_RX);
	return taken;
}

/* The next number at the far end, with the near end served. */
static unsigned number_await_far(void)
{
	long number;

	while ((number = number_take(far)) == -EAGAIN)
		near_service();
	EXPECT(number >= 0);
	return (unsigned)number;
}

static unsigned number_await_near(void)
{
	EXPECT(frame_await(near, &upper, frame) > 0);
	return number_of_frame();
}

/* Return: how many of 1000 frames were lost; marks them. */
static unsigned losses_of(uint64_t seed, double share, bool outward, char lost[1000])
{
	const struct link_impair_direction lossy = { .loss = share };
	unsigned losses = 0;
	long number;

	path_open(seed, outward ? lossy : none, outward ? none : lossy);
	memset(lost, 1, 1000);
	for (unsigned i = 0; i < 1000; i++)
		number_send(outward ? near : far, i, 60);
	while ((number = number_take(outward ? far : near)) >= 0)
		lost[number] = 0;
	for (unsigned i = 0; i < 1000; i++)
		losses += (unsigned)lost[i];
	EXPECT_EQ(near->counters.tx_dropped + near->counters.rx_dropped, losses);
	path_close();
	return losses;
}

static void same_seed_has_the_same_losses(void)
{
	char a[1000], b[1000], c[1000];
	unsigned losses;

	for (int outward = 0; outward < 2; outward++) {
		losses = losses_of(7, 0.1, outward, a);
		EXPECT(losses > 60 && losses < 140);
		EXPECT_EQ(losses_of(7, 0.1, outward, b), losses);
		EXPECT(!memcmp(a, b, sizeof(a)));
		losses_of(8, 0.1, outward, c);
		EXPECT(memcmp(a, c, sizeof(a)));
	}
	EXPECT_EQ(losses_of(1, 0, true, a), 0);
	EXPECT_EQ(losses_of(1, 1, true, a), 1000);
}

static void unimpaired_frames_pass_at_once(void)
{
	path_open(1, none, none);
	EXPECT_EQ(near->features, LKL_NET_CSUM);
	for (unsigned i = 0; i < 100; i++) {
		number_send(near, i, 1514);
		EXPECT_EQ(number_take(far), i);
		number_send(far, i, 1514);
		EXPECT_EQ(number_take(near), i);
	}
	EXPECT(near->ops->idle(near));
	EXPECT_EQ(near->counters.tx_frames, 100);
	EXPECT_EQ(near->counters.rx_bytes, 100 * 1514);
	path_close();
}

static void delayed_frames_come_when_due(void)
{
	const struct link_impair_direction slow = { .delay_ns = 20000000 };
	double start, took;

	path_open(1, slow, slow);
	near->ops->poll(near, LKL_NET_RX);
	start = now_ms();
	number_send(near, 1, 60);
	EXPECT(!near->ops->idle(near));
	EXPECT_EQ(number_await_far(), 1);
	took = now_ms() - start;
	EXPECT(took >= 20 && took < 500);
	EXPECT(near->ops->idle(near));

	start = now_ms();
	number_send(far, 2, 60);
	EXPECT_EQ(number_await_near(), 2);
	took = now_ms() - start;
	EXPECT(took >= 20 && took < 500);
	path_close();
}

static void jitter_keeps_order_and_bounds(void)
{
	const struct link_impair_direction shaky = { .delay_ns = 5000000, .jitter_ns = 4000000 };
	double start;

	path_open(3, shaky, none);
	near->ops->poll(near, LKL_NET_RX);
	start = now_ms();
	for (unsigned i = 0; i < 200; i++)
		number_send(near, i, 60);
	for (unsigned i = 0; i < 200; i++)
		EXPECT_EQ(number_await_far(), i);
	EXPECT(now_ms() - start >= 5);
	path_close();
}

/* 100 frames of 1250 bytes at 100 Mbit/s are 10 ms. */
static void rate_spaces_frames(void)
{
	const struct link_impair_direction line = { .rate_bit_per_s = 100000000 };
	double start, took;

	path_open(1, line, line);
	near->ops->poll(near, LKL_NET_RX);
	start = now_ms();
	for (unsigned i = 0; i < 100; i++)
		number_send(near, i, 1250);
	for (unsigned i = 0; i < 100; i++)
		EXPECT_EQ(number_await_far(), i);
	took = now_ms() - start;
	EXPECT(took >= 9.99 && took < 500);

	start = now_ms();
	for (unsigned i = 0; i < 100; i++)
		number_send(far, i, 1250);
	for (unsigned i = 0; i < 100; i++)
		EXPECT_EQ(number_await_near(), i);
	took = now_ms() - start;
	EXPECT(took >= 9.99 && took < 500);
	path_close();
}

static void full_queue_drops_the_last(void)
{
	const struct link_impair_direction line = { .rate_bit_per_s = 800000,
						    .queue_bytes = 10000 };

	path_open(1, line, none);
	near->ops->poll(near, LKL_NET_RX);
	/* Ten at most are waiting; the line meanwhile sends one in 10 ms. */
	for (unsigned i = 0; i < 100; i++)
		number_send(near, i, 1000);
	EXPECT(near->counters.tx_dropped >= 60);
	EXPECT_EQ(near->counters.tx_dropped + near->counters.tx_frames, 100);
	for (unsigned i = 0; i < 10; i++)
		EXPECT_EQ(number_await_far(), i);
	path_close();
}

static void reordered_frames_overtake_delayed_ones(void)
{
	const struct link_impair_direction mixed = { .delay_ns = 30000000, .reorder = 0.3 };
	unsigned overtakers = 0, last_delayed = 0;
	long number;

	path_open(5, mixed, none);
	near->ops->poll(near, LKL_NET_RX);
	for (unsigned i = 0; i < 100; i++)
		number_send(near, i, 60);
	/* Those that overtake are there at once, unless this took longer than the delay. */
	while ((number = number_take(far)) >= 0)
		overtakers++;
	EXPECT(overtakers > 10);
	for (unsigned i = overtakers; i < 100; i++) {
		unsigned delayed = number_await_far();

		EXPECT(delayed >= last_delayed);
		last_delayed = delayed;
	}
	path_close();
}

/* The poller has taken the timer from epoll, but not told it, when the timer is set anew. */
static void timer_told_late_hides_no_later_one(void)
{
	const struct link_impair_direction slow = { .delay_ns = 20000000 };
	struct stop first, second;

	path_open(1, slow, none);
	near->ops->poll(near, LKL_NET_RX);
	stop_start(&first);
	stop_start(&second);
	stop_call(&first);
	stop_await(&first);
	number_send(near, 0, 60);
	stop_call(&second);
	EXPECT_EQ(poll(&(struct pollfd){ impair_of(near)->timer.fd, POLLIN, 0 }, 1, 10000), 1);
	/* Both are taken at once. */
	stop_open(&first);
	stop_await(&second);
	number_send(near, 1, 60);
	stop_open(&second);
	for (unsigned i = 0; i < 2; i++)
		EXPECT_EQ(number_await_far(), i);
	path_close();
	stop_end(&first);
	stop_end(&second);
}

static void reader_that_stops_early_is_told_of_the_rest(void)
{
	path_open(1, none, (struct link_impair_direction){ .rate_bit_per_s = 800000 });
	for (unsigned i = 0; i < 2; i++)
		number_send(far, i, 1000);
	for (unsigned i = 0; i < 2; i++) {
		near->ops->poll(near, LKL_NET_RX);
		do
			upper_double_await(&upper, LKL_NET_RX);
		while (number_take(near) != i);
	}
	path_close();
}

/* Return: how many of 1000 frames came twice; each comes, in order. */
static unsigned duplicates_of(uint64_t seed, struct link_impair_direction settings, bool outward)
{
	unsigned came[1000] = { 0 }, twice = 0, last = 0, frames = 0;
	const struct link_counters *counters;
	long number;

	path_open(seed, outward ? settings : none, outward ? none : settings);
	near->ops->poll(near, LKL_NET_RX);
	for (unsigned i = 0; i < 1000; i++)
		number_send(outward ? near : far, i, 60);
	while (!came[999] || !near->ops->idle(near)) {
		number = outward ? number_await_far() : number_await_near();
		EXPECT(number >= last);
		last = (unsigned)number;
		came[last]++;
		frames++;
	}
	while ((number = number_take(outward ? far : near)) >= 0) {
		came[number]++;
		frames++;
	}
	for (unsigned i = 0; i < 1000; i++) {
		EXPECT(came[i] == 1 || came[i] == 2);
		twice += came[i] - 1;
	}
	counters = &near->counters;
	EXPECT_EQ(outward ? counters->tx_frames : counters->rx_frames, frames);
	path_close();
	return twice;
}

static void duplicated_frames_come_right_behind(void)
{
	for (int outward = 0; outward < 2; outward++) {
		const struct link_impair_direction at_once = { .duplicate = 0.1 };
		const struct link_impair_direction late = { .duplicate = 0.1, .delay_ns = 1000000 };
		unsigned twice = duplicates_of(7, at_once, outward);

		EXPECT(twice > 60 && twice < 140);
		EXPECT_EQ(duplicates_of(7, late, outward), twice);
		EXPECT_EQ(duplicates_of(7, (struct link_impair_direction){ .duplicate = 1 },
					outward),
			  1000);
	}
}

static void silent_cut_swallows_frames_queued_ones_too(void)
{
	const struct link_impair_direction slow = { .delay_ns = 1000000 };

	path_open(1, slow, slow);
	near->ops->poll(near, LKL_NET_RX);
	number_send(near, 1, 60);
	number_send(far, 2, 60);
	EXPECT_EQ(link_impair_cut(near, true, false), 0);
	number_send(near, 3, 60);
	number_send(far, 4, 60);
	while (!near->ops->idle(near) || near->counters.rx_dropped < 2)
		near_service();
	EXPECT(!(upper_double_events(&upper) & (LKL_NET_DOWN | LKL_NET_UP)));
	EXPECT_EQ(link_impair_cut(near, false, false), 0);
	number_send(near, 5, 60);
	EXPECT_EQ(number_await_far(), 5);
	number_send(far, 6, 60);
	EXPECT_EQ(number_await_near(), 6);
	EXPECT_EQ(near->counters.tx_dropped, 2);
	EXPECT_EQ(near->counters.rx_dropped, 2);
	EXPECT(!(upper_double_events(&upper) & (LKL_NET_DOWN | LKL_NET_UP)));
	path_close();
}

/* Even one that was mended before anybody looked. */
static void short_cut_swallows_queued_frames(void)
{
	const struct link_impair_direction slow = { .delay_ns = 5000000 };

	path_open(1, slow, none);
	near->ops->poll(near, LKL_NET_RX);
	number_send(near, 1, 60);
	EXPECT_EQ(link_impair_cut(near, true, false), 0);
	EXPECT_EQ(link_impair_cut(near, false, false), 0);
	number_send(near, 2, 60);
	EXPECT_EQ(number_await_far(), 2);
	path_close();
}

static void cut_with_carrier_tells_down_and_up(void)
{
	path_open(1, none, none);
	for (unsigned i = 0; i < rounds(100); i++) {
		EXPECT_EQ(link_impair_cut(near, true, true), 0);
		upper_double_await(&upper, LKL_NET_DOWN);
		EXPECT_EQ(link_impair_cut(near, false, true), 0);
		upper_double_await(&upper, LKL_NET_UP);
	}
	path_close();
}

static void carrier_of_inner_link_shows_unless_cut(void)
{
	path_open(1, none, none);
	far->ops->close(far);
	upper_double_await(&upper, LKL_NET_DOWN);
	/* Mending does not bring back what is gone below. */
	EXPECT_EQ(link_impair_cut(near, true, true), 0);
	EXPECT_EQ(link_impair_cut(near, false, true), 0);
	upper_double_await(&upper, LKL_NET_RX);
	near->ops->poll(near, LKL_NET_RX);
	upper_double_await(&upper, LKL_NET_RX);
	EXPECT(!(upper_double_events(&upper) & LKL_NET_UP));
	EXPECT_EQ(number_take(near), -EPIPE);
	near->ops->close(near);
}

static void full_inner_link_is_waited_for(void)
{
	const struct link_impair_direction lossy = { .loss = 0.0, .delay_ns = 1 };
	struct link *ends[2];
	unsigned sent = 0, taken = 0;

	EXPECT_EQ(link_memory_pair(2, ends), 0);
	EXPECT_EQ(link_impair_wrap(ends[0], 1, &lossy, &none, &near), 0);
	far = ends[1];
	upper_double_set(&upper, near);
	upper_double_set(&far_upper, far);
	near->ops->poll(near, LKL_NET_RX);
	while (taken < 100) {
		unsigned long bytes = frame_make(frame, 60, sent);
		long number;

		memcpy(frame + LKL_VNET_HDR, &sent, sizeof(sent));
		while (sent < 100 && frame_send(near, frame, bytes) == (long)bytes) {
			sent++;
			memcpy(frame + LKL_VNET_HDR, &sent, sizeof(sent));
		}
		near->ops->poll(near, LKL_NET_TX);
		while ((number = number_take(far)) >= 0)
			EXPECT_EQ(number, taken++);
		if (taken < 100)
			near_service();
	}
	EXPECT_EQ(near->counters.tx_dropped, 0);
	path_close();
}

static void settings_change_while_frames_pass(void)
{
	const struct link_impair_direction lossy = { .loss = 1 };

	path_open(1, none, none);
	number_send(near, 1, 60);
	EXPECT_EQ(number_take(far), 1);
	EXPECT_EQ(link_impair_set(near, &lossy, &none), 0);
	number_send(near, 2, 60);
	EXPECT_EQ(number_take(far), -EAGAIN);
	EXPECT_EQ(link_impair_set(near, &none, &none), 0);
	number_send(near, 3, 60);
	EXPECT_EQ(number_take(far), 3);
	path_close();
}

static void bad_settings_are_refused(void)
{
	const struct link_impair_direction bad[] = {
		{ .loss = -0.1 }, { .loss = 1.1 },    { .reorder = 2 },
		{ .loss = NAN },  { .duplicate = 2 },
	};
	struct link *ends[2], *out;

	EXPECT_EQ(link_memory_pair(1, ends), 0);
	for (int i = 0; i < 5; i++) {
		EXPECT_EQ(link_impair_wrap(ends[0], 1, &bad[i], &none, &out), -EINVAL);
		EXPECT_EQ(link_impair_wrap(ends[0], 1, &none, &bad[i], &out), -EINVAL);
	}
	EXPECT_EQ(link_impair_set(ends[0], &none, &none), -EINVAL);
	EXPECT_EQ(link_impair_cut(ends[0], true, true), -EINVAL);
	ends[0]->ops->close(ends[0]);
	ends[1]->ops->close(ends[1]);
}

int main(void)
{
	EXPECT_EQ(host_io_start(), 0);
	CASE(same_seed_has_the_same_losses, 60);
	CASE(unimpaired_frames_pass_at_once, 20);
	CASE(delayed_frames_come_when_due, 20);
	CASE(jitter_keeps_order_and_bounds, 20);
	CASE(rate_spaces_frames, 20);
	CASE(full_queue_drops_the_last, 20);
	CASE(reordered_frames_overtake_delayed_ones, 20);
	CASE(timer_told_late_hides_no_later_one, 20);
	CASE(reader_that_stops_early_is_told_of_the_rest, 20);
	CASE(duplicated_frames_come_right_behind, 60);
	CASE(silent_cut_swallows_frames_queued_ones_too, 20);
	CASE(short_cut_swallows_queued_frames, 20);
	CASE(cut_with_carrier_tells_down_and_up, 60);
	CASE(carrier_of_inner_link_shows_unless_cut, 20);
	CASE(full_inner_link_is_waited_for, 20);
	CASE(settings_change_while_frames_pass, 20);
	CASE(bad_settings_are_refused, 20);
	host_io_stop();
	return 0;
}
