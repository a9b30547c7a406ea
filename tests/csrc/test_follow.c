// SPDX-License-Identifier: GPL-2.0-only
/*
 * Carrier by an uplink of the host: a veth pair in a network namespace that goes with the process.
 * Needs root.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>

#include "double.h"
#include "expect.h"
#include "link/frame.h"

#define NEAR "lkls-near"
#define FAR "lkls-far"
#define DEPTH 16

static char frame[LKL_FRAME_MAX];
static struct link *link_over, *other_end;
static struct upper_double upper, far_upper;

static void host(const char *command)
{
	EXPECT_EQ(system(command), 0);
}

static void follow_open(const char *uplink)
{
	struct link *ends[2];

	EXPECT_EQ(link_memory_pair(DEPTH, ends), 0);
	EXPECT_EQ(link_follow_wrap(ends[0], uplink, &link_over), 0);
	other_end = ends[1];
	upper_double_set(&upper, link_over);
	upper_double_set(&far_upper, other_end);
	link_over->ops->poll(link_over, LKL_NET_RX);
}

static void follow_close(void)
{
	link_over->ops->close(link_over);
	other_end->ops->close(other_end);
}

static void pair_make(void)
{
	host("ip link add " NEAR " type veth peer name " FAR);
	host("ip link set " NEAR " up && ip link set " FAR " up");
	while (system("ip -o link show " NEAR " | grep -q 'state UP'"))
		;
}

static void carrier_of_the_interface_is_followed(void)
{
	pair_make();
	follow_open(NEAR);
	EXPECT(link_over->carrier);
	for (unsigned i = 0; i < 3; i++) {
		host("ip link set " FAR " down");
		upper_double_await(&upper, LKL_NET_DOWN);
		host("ip link set " FAR " up");
		upper_double_await(&upper, LKL_NET_UP);
	}
	host("ip link del " NEAR);
	upper_double_await(&upper, LKL_NET_DOWN);
	/* Another one of this name, as of a modem that was unplugged. */
	pair_make();
	upper_double_await(&upper, LKL_NET_UP);
	follow_close();
	host("ip link del " NEAR);
}

static void interface_that_had_an_address_needs_one(void)
{
	pair_make();
	follow_open(NEAR);
	EXPECT(link_over->carrier);
	host("ip addr add 10.9.0.1/24 dev " NEAR);
	host("ip addr del 10.9.0.1/24 dev " NEAR);
	upper_double_await(&upper, LKL_NET_DOWN);
	host("ip addr add fd09::1/64 dev " NEAR " nodad");
	upper_double_await(&upper, LKL_NET_UP);
	follow_close();
	host("ip link del " NEAR);
}

static void address_is_followed_wherever_it_is(void)
{
	pair_make();
	follow_open("10.9.0.1");
	EXPECT(!link_over->carrier);
	host("ip addr add 10.9.0.1/24 dev " NEAR);
	upper_double_await(&upper, LKL_NET_UP);
	host("ip addr del 10.9.0.1/24 dev " NEAR);
	upper_double_await(&upper, LKL_NET_DOWN);
	host("ip addr add 10.9.0.1/24 dev " FAR);
	upper_double_await(&upper, LKL_NET_UP);
	host("ip link set " NEAR " down");
	upper_double_await(&upper, LKL_NET_DOWN);
	follow_close();
	host("ip link del " NEAR);
}

static void link_below_needs_carrier_too(void)
{
	struct link *ends[2], *witness;
	struct upper_double seen, unused;

	pair_make();
	follow_open(NEAR);
	EXPECT_EQ(link_memory_pair(DEPTH, ends), 0);
	EXPECT_EQ(link_follow_wrap(ends[0], NEAR, &witness), 0);
	upper_double_set(&seen, witness);
	upper_double_set(&unused, ends[1]);
	witness->ops->poll(witness, LKL_NET_RX);
	other_end->ops->close(other_end);
	upper_double_await(&upper, LKL_NET_DOWN);
	host("ip link set " FAR " down");
	upper_double_await(&seen, LKL_NET_DOWN);
	host("ip link set " FAR " up");
	upper_double_await(&seen, LKL_NET_UP);
	/* With this one told, whoever had something to tell of the last has done so. */
	host("ip link del " NEAR);
	upper_double_await(&seen, LKL_NET_DOWN);
	EXPECT(!(upper_double_events(&upper) & LKL_NET_UP));
	link_over->ops->close(link_over);
	witness->ops->close(witness);
	ends[1]->ops->close(ends[1]);
}

static void frames_pass_and_are_counted_by_the_link_below(void)
{
	unsigned long bytes = frame_make(frame, 60, 1);
	struct lkl_iovec iov = { frame, sizeof(frame) };

	pair_make();
	follow_open(NEAR);
	EXPECT_EQ(frame_send(link_over, frame, bytes), bytes);
	EXPECT_EQ(other_end->ops->rx(other_end, &iov, 1), bytes);
	EXPECT_EQ(frame_send(other_end, frame, bytes), bytes);
	EXPECT_EQ(frame_await(link_over, &upper, frame), bytes);
	EXPECT_EQ(link_counters(link_over)->tx_frames, 1);
	EXPECT_EQ(link_counters(link_over)->rx_frames, 1);
	EXPECT(link_over->ops->idle(link_over));
	follow_close();
	host("ip link del " NEAR);
}

static void unknown_interface_is_refused(void)
{
	struct link *ends[2], *out;

	EXPECT_EQ(link_memory_pair(DEPTH, ends), 0);
	EXPECT_EQ(link_follow_wrap(ends[0], "lkls-none", &out), -ENODEV);
	EXPECT_EQ(link_follow_wrap(ends[0], "longer-than-any-interface", &out), -ENODEV);
	ends[0]->ops->close(ends[0]);
	ends[1]->ops->close(ends[1]);
}

int main(void)
{
	if (geteuid() || unshare(CLONE_NEWNET) || system("ip link >/dev/null")) {
		puts("needs root, network namespaces and ip: apt install iproute2");
		return SKIP_CODE;
	}
	EXPECT_EQ(host_io_start(), 0);
	CASE(carrier_of_the_interface_is_followed, 60);
	CASE(interface_that_had_an_address_needs_one, 60);
	CASE(address_is_followed_wherever_it_is, 60);
	CASE(link_below_needs_carrier_too, 60);
	CASE(frames_pass_and_are_counted_by_the_link_below, 60);
	CASE(unknown_interface_is_refused, 60);
	host_io_stop();
	return 0;
}
