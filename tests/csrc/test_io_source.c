// SPDX-License-Identifier: GPL-2.0-only
/* Sources of the I/O thread: interest, ringing, replacing, deleting. */
#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "double.h"
#include "expect.h"

struct recorder {
	struct host_io_source source;
	uint32_t events;
	int count;
	int inside;
	bool delete_self;
};

static unsigned recorder_event(struct host_io_source *source, uint32_t events)
{
	struct recorder *recorder = (struct recorder *)source;

	EXPECT_EQ(__atomic_add_fetch(&recorder->inside, 1, __ATOMIC_SEQ_CST), 1);
	__atomic_or_fetch(&recorder->events, events, __ATOMIC_SEQ_CST);
	__atomic_sub_fetch(&recorder->inside, 1, __ATOMIC_SEQ_CST);
	if (recorder->delete_self)
		host_io_del(source);
	__atomic_add_fetch(&recorder->count, 1, __ATOMIC_SEQ_CST);
	host_futex_wake(&recorder->count, INT32_MAX);
	return 0;
}

static void recorder_start(struct recorder *recorder, int fd)
{
	*recorder = (struct recorder){ .source = { .fd = fd, .event = recorder_event } };
	EXPECT_EQ(host_io_add(&recorder->source), 0);
}

static void await_count(struct recorder *recorder, int count)
{
	int now;

	while ((now = __atomic_load_n(&recorder->count, __ATOMIC_SEQ_CST)) < count)
		host_futex_wait(&recorder->count, now, HOST_NEVER);
}

static void pair_make(int fds[2])
{
	EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
}

static uint32_t told(struct recorder *recorder)
{
	return __atomic_load_n(&recorder->events, __ATOMIC_SEQ_CST);
}

static int count_of(struct recorder *recorder)
{
	return __atomic_load_n(&recorder->count, __ATOMIC_SEQ_CST);
}

/* What was told before is told, when a rung source has been. */
static void await_quiet(void)
{
	struct recorder bell;

	recorder_start(&bell, -1);
	host_io_ring(&bell.source);
	await_count(&bell, 1);
	host_io_del(&bell.source);
	EXPECT_EQ(told(&bell), HOST_IO_RUNG);
}

static void nothing_is_told_unarmed(void)
{
	struct recorder recorder;
	int fds[2];

	pair_make(fds);
	recorder_start(&recorder, fds[0]);
	close(fds[1]);
	await_quiet();
	await_quiet();
	EXPECT_EQ(count_of(&recorder), 0);
	host_io_arm(&recorder.source, EPOLLIN);
	await_count(&recorder, 1);
	EXPECT(told(&recorder) & EPOLLHUP);
	host_io_del(&recorder.source);
	close(fds[0]);
}

static void interest_is_one_shot_bit_by_bit(void)
{
	struct recorder recorder;
	int fds[2];

	pair_make(fds);
	recorder_start(&recorder, fds[0]);
	host_io_arm(&recorder.source, EPOLLIN | EPOLLOUT);
	await_count(&recorder, 1);
	EXPECT_EQ(told(&recorder), EPOLLOUT);
	/* Reading is still of interest, writing no more. */
	EXPECT_EQ(send(fds[1], "x", 1, 0), 1);
	await_count(&recorder, 2);
	EXPECT_EQ(told(&recorder), EPOLLOUT | EPOLLIN);
	await_quiet();
	EXPECT_EQ(count_of(&recorder), 2);
	host_io_arm(&recorder.source, EPOLLIN);
	await_count(&recorder, 3);
	host_io_del(&recorder.source);
	close(fds[0]);
	close(fds[1]);
}

static void rings_merge_and_none_is_lost(void)
{
	struct recorder recorder;
	int before;

	recorder_start(&recorder, -1);
	for (unsigned i = 0; i < rounds(2000); i++) {
		before = count_of(&recorder);
		host_io_ring(&recorder.source);
		host_io_ring(&recorder.source);
		await_count(&recorder, before + 1);
	}
	host_io_del(&recorder.source);
}

static void source_may_delete_itself(void)
{
	for (unsigned i = 0; i < rounds(500); i++) {
		struct recorder recorder;

		recorder_start(&recorder, -1);
		recorder.delete_self = true;
		host_io_ring(&recorder.source);
		await_count(&recorder, 1);
		/* After its event() returned, the slot is another's. */
		await_quiet();
	}
}

static void replaced_descriptor_keeps_number_and_interest(void)
{
	struct recorder recorder;
	int old[2], new[2], number;
	char byte;

	pair_make(old);
	pair_make(new);
	number = old[0];
	recorder_start(&recorder, number);
	host_io_arm(&recorder.source, EPOLLIN);
	EXPECT_EQ(host_io_replace(&recorder.source, new[0]), 0);
	EXPECT_EQ(recorder.source.fd, number);
	EXPECT_EQ(send(new[1], "n", 1, 0), 1);
	await_count(&recorder, 1);
	EXPECT_EQ(recv(number, &byte, 1, 0), 1);
	EXPECT_EQ(byte, 'n');
	/* The old one is closed. */
	EXPECT_EQ(recv(old[1], &byte, 1, 0), 0);
	host_io_del(&recorder.source);
	close(number);
	close(old[1]);
	close(new[1]);
}

static struct recorder raced;
static bool race_over;

static void *armer_run(void *events)
{
	while (!__atomic_load_n(&race_over, __ATOMIC_SEQ_CST))
		host_io_arm(&raced.source, (uint32_t)(uintptr_t)events);
	return NULL;
}

/* Two threads arm different bits while events take them: after it, each bit still works. */
static void arming_races_lose_no_interest(void)
{
	pthread_t armers[2];
	int fds[2], before;
	char byte;

	pair_make(fds);
	recorder_start(&raced, fds[0]);
	race_over = false;
	pthread_create(&armers[0], NULL, armer_run, (void *)(uintptr_t)EPOLLIN);
	pthread_create(&armers[1], NULL, armer_run, (void *)(uintptr_t)EPOLLOUT);
	for (unsigned i = 0; i < rounds(300); i++) {
		__atomic_and_fetch(&raced.events, 0, __ATOMIC_SEQ_CST);
		EXPECT_EQ(send(fds[1], "x", 1, 0), 1);
		while (!(told(&raced) & EPOLLIN)) {
			before = count_of(&raced);
			if (told(&raced) & EPOLLIN)
				break;
			host_futex_wait(&raced.count, before, HOST_NEVER);
		}
		EXPECT_EQ(recv(fds[0], &byte, 1, 0), 1);
	}
	__atomic_store_n(&race_over, true, __ATOMIC_SEQ_CST);
	pthread_join(armers[0], NULL);
	pthread_join(armers[1], NULL);
	host_io_del(&raced.source);
	close(fds[0]);
	close(fds[1]);
}

/* After host_io_del() no event() runs, whoever polled: the source may be freed. */
static void deleting_waits_for_event(void)
{
	for (unsigned i = 0; i < rounds(2000); i++) {
		struct recorder *recorder = malloc(sizeof(*recorder));
		int fds[2];

		pair_make(fds);
		recorder_start(recorder, fds[0]);
		host_io_arm(&recorder->source, EPOLLIN | EPOLLOUT);
		EXPECT_EQ(send(fds[1], "x", 1, 0), 1);
		if (i % 2)
			host_io_ring(&recorder->source);
		host_io_del(&recorder->source);
		free(recorder);
		close(fds[0]);
		close(fds[1]);
	}
}

static void leftover_kernel_work_is_done_without_events(void)
{
	int before = __atomic_load_n(&double_irqs, __ATOMIC_SEQ_CST);

	__atomic_store_n(&double_pending, 20, __ATOMIC_SEQ_CST);
	host_io_kick();
	while (lkl_work_pending())
		await_quiet();
	EXPECT(__atomic_load_n(&double_irqs, __ATOMIC_SEQ_CST) >= before + 20);
}

static int after_irqs;

static void after_irq(void)
{
	__atomic_add_fetch(&after_irqs, 1, __ATOMIC_SEQ_CST);
	host_futex_wake(&after_irqs, INT32_MAX);
}

static void every_interrupt_is_followed_by_the_hook(void)
{
	int before = __atomic_load_n(&after_irqs, __ATOMIC_SEQ_CST);

	host_io_kick();
	while (__atomic_load_n(&after_irqs, __ATOMIC_SEQ_CST) == before)
		host_futex_wait(&after_irqs, before, HOST_NEVER);
}

static void forked_child_is_dead_and_parent_goes_on(void)
{
	struct recorder recorder;
	int fds[2], status;
	pid_t child;
	char byte;

	pair_make(fds);
	recorder_start(&recorder, fds[0]);
	host_io_fork_prepare();
	child = fork();
	EXPECT(child >= 0);
	if (!child) {
		host_io_fork_child();
		host_io_arm(&recorder.source, EPOLLIN);
		host_io_ring(&recorder.source);
		host_timer_set(1);
		host_io_del(&recorder.source);
		host_io_stop();
		_exit(recorder.source.fd == -1 ? 0 : 1);
	}
	host_io_fork_parent();
	EXPECT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
	host_io_arm(&recorder.source, EPOLLIN);
	EXPECT_EQ(send(fds[1], "x", 1, 0), 1);
	await_count(&recorder, 1);
	EXPECT_EQ(recv(fds[0], &byte, 1, 0), 1);
	host_io_del(&recorder.source);
	close(fds[0]);
	close(fds[1]);
}

static void descriptor_without_polling_is_refused(void)
{
	FILE *file = tmpfile();
	struct recorder recorder = { .source = { .fd = fileno(file), .event = recorder_event } };

	EXPECT_EQ(host_io_add(&recorder.source), -EPERM);
	fclose(file);
}

int main(void)
{
	host_io_set_after_irq(after_irq);
	EXPECT_EQ(host_io_start(), 0);
	CASE(nothing_is_told_unarmed, 20);
	CASE(interest_is_one_shot_bit_by_bit, 20);
	CASE(rings_merge_and_none_is_lost, 60);
	CASE(source_may_delete_itself, 60);
	CASE(replaced_descriptor_keeps_number_and_interest, 20);
	CASE(arming_races_lose_no_interest, 120);
	CASE(deleting_waits_for_event, 120);
	CASE(leftover_kernel_work_is_done_without_events, 20);
	CASE(every_interrupt_is_followed_by_the_hook, 20);
	CASE(forked_child_is_dead_and_parent_goes_on, 20);
	CASE(descriptor_without_polling_is_refused, 20);
	host_io_stop();
	return 0;
}
