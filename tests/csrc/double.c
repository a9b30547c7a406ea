// SPDX-License-Identifier: GPL-2.0-only
/*
 * Doubles of what is above and below host/ and link/.
 */
#include "double.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "expect.h"

#define AWAIT_NS 10000000000ull

void (*double_on_irq)(unsigned bits);
int double_pending;
int double_irqs;

void lkl_irq(unsigned int bits)
{
	int pending = __atomic_load_n(&double_pending, __ATOMIC_SEQ_CST);

	__atomic_add_fetch(&double_irqs, 1, __ATOMIC_SEQ_CST);
	while (pending && !__atomic_compare_exchange_n(&double_pending, &pending, pending - 1,
						       false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	if (double_on_irq)
		double_on_irq(bits);
}

int lkl_cpu_busy(void)
{
	return 0;
}

int lkl_work_pending(void)
{
	return __atomic_load_n(&double_pending, __ATOMIC_SEQ_CST) > 0;
}

static unsigned upper_event(struct link_upper *link_upper, unsigned events)
{
	struct upper_double *upper =
		(struct upper_double *)((char *)link_upper - offsetof(struct upper_double, upper));

	__atomic_or_fetch(&upper->events, events, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&upper->serial, 1, __ATOMIC_SEQ_CST);
	host_futex_wake(&upper->serial, INT32_MAX);
	return LKL_IRQ_NET;
}

void upper_double_set(struct upper_double *upper, struct link *link)
{
	*upper = (struct upper_double){ .upper.event = upper_event };
	link->upper = &upper->upper;
}

unsigned upper_double_events(struct upper_double *upper)
{
	return __atomic_load_n(&upper->events, __ATOMIC_SEQ_CST);
}

void upper_double_await(struct upper_double *upper, unsigned events)
{
	uint64_t deadline = host_clock_monotonic() + AWAIT_NS;

	for (;;) {
		int serial = __atomic_load_n(&upper->serial, __ATOMIC_SEQ_CST);

		if ((upper_double_events(upper) & events) == events)
			break;
		EXPECT(host_futex_wait(&upper->serial, serial, deadline) != -ETIMEDOUT);
	}
	__atomic_and_fetch(&upper->events, ~events, __ATOMIC_SEQ_CST);
}

unsigned long frame_make(char *frame, unsigned long body_bytes, unsigned seed)
{
	memset(frame, 0, LKL_VNET_HDR);
	for (unsigned long i = 0; i < body_bytes; i++) {
		seed = seed * 1664525u + 1013904223u;
		frame[LKL_VNET_HDR + i] = (char)(seed >> 24);
	}
	return LKL_VNET_HDR + body_bytes;
}

long frame_send(struct link *link, char *frame, unsigned long bytes)
{
	/* As the kernel half has it: header, linear part, the rest. */
	unsigned long linear = bytes - LKL_VNET_HDR > 60 ? 60 : bytes - LKL_VNET_HDR;
	struct lkl_iovec iov[] = {
		{ frame, LKL_VNET_HDR },
		{ frame + LKL_VNET_HDR, linear },
		{ frame + LKL_VNET_HDR + linear, bytes - LKL_VNET_HDR - linear },
	};

	return link->ops->tx(link, iov, iov[2].len ? 3 : 2);
}

long frame_await(struct link *link, struct upper_double *upper, char *frame)
{
	for (;;) {
		struct lkl_iovec iov[] = {
			{ frame, LKL_VNET_HDR },
			{ frame + LKL_VNET_HDR, 256 },
			{ frame + LKL_VNET_HDR + 256, LKL_FRAME_MAX - LKL_VNET_HDR - 256 },
		};
		long bytes = link->ops->rx(link, iov, 3);

		if (bytes != -EAGAIN)
			return bytes;
		link->ops->poll(link, LKL_NET_RX);
		upper_double_await(upper, LKL_NET_RX);
	}
}

void link_end_await(struct link *link, struct upper_double *upper)
{
	uint64_t deadline = host_clock_monotonic() + AWAIT_NS;
	int serial;

	for (;;) {
		serial = __atomic_load_n(&upper->serial, __ATOMIC_SEQ_CST);
		if (upper_double_events(upper) & LKL_NET_DOWN)
			break;
		link->ops->poll(link, LKL_NET_RX);
		EXPECT(host_futex_wait(&upper->serial, serial, deadline) != -ETIMEDOUT);
	}
	__atomic_and_fetch(&upper->events, ~LKL_NET_DOWN, __ATOMIC_SEQ_CST);
}

void killed_peer_takes_the_carrier(int type, int (*open)(int fd, struct link **out))
{
	static char sent[LKL_VNET_HDR + 60];
	struct upper_double upper;
	struct link *link;
	int fds[2], status;
	pid_t child;

	EXPECT_EQ(socketpair(AF_UNIX, type, 0, fds), 0);
	host_io_fork_prepare();
	child = fork();
	if (!child) {
		close(fds[0]);
		pause();
		_exit(0);
	}
	host_io_fork_parent();
	close(fds[1]);
	EXPECT_EQ(open(fds[0], &link), 0);
	upper_double_set(&upper, link);
	link->ops->poll(link, LKL_NET_RX);
	EXPECT_EQ(frame_send(link, sent, frame_make(sent, 60, 3)), sizeof(sent));
	kill(child, SIGKILL);
	EXPECT_EQ(waitpid(child, &status, 0), child);
	upper_double_await(&upper, LKL_NET_DOWN);
	link->ops->close(link);
}

static unsigned stop_event(struct host_io_source *source, uint32_t events)
{
	struct stop *stop = (struct stop *)source;

	(void)events;
	__atomic_store_n(&stop->entered, 1, __ATOMIC_SEQ_CST);
	host_futex_wake(&stop->entered, 1);
	while (!__atomic_load_n(&stop->open, __ATOMIC_SEQ_CST))
		host_futex_wait(&stop->open, 0, HOST_NEVER);
	return 0;
}

void stop_start(struct stop *stop)
{
	*stop = (struct stop){ .source = { .fd = eventfd(0, 0), .event = stop_event } };
	EXPECT_EQ(host_io_add(&stop->source), 0);
	host_io_arm(&stop->source, EPOLLIN);
}

void stop_call(struct stop *stop)
{
	EXPECT_EQ(eventfd_write(stop->source.fd, 1), 0);
}

void stop_await(struct stop *stop)
{
	while (!__atomic_load_n(&stop->entered, __ATOMIC_SEQ_CST))
		host_futex_wait(&stop->entered, 0, HOST_NEVER);
}

void stop_open(struct stop *stop)
{
	__atomic_store_n(&stop->open, 1, __ATOMIC_SEQ_CST);
	host_futex_wake(&stop->open, 1);
}

void stop_end(struct stop *stop)
{
	host_io_del(&stop->source);
	close(stop->source.fd);
}

double now_ms(void)
{
	return (double)host_clock_monotonic() / 1e6;
}
