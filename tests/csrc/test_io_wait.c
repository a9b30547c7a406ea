// SPDX-License-Identifier: GPL-2.0-only
/* Leader and followers: no wake-up is lost, whoever polls, whatever ends the wait. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "double.h"
#include "expect.h"

static int word_read(int *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void word_bump(int *word)
{
	__atomic_add_fetch(word, 1, __ATOMIC_SEQ_CST);
	host_io_wake(word);
}

/*
 * Waits until *word has reached value, without a deadline: what is lost hangs, and SIGALRM tells.
 */
static void word_await(int *word, int value)
{
	int now;

	while ((now = word_read(word)) - value < 0)
		host_io_wait(word, now, HOST_NEVER);
}

static void wait_returns_when_word_differs(void)
{
	int word = 1;

	EXPECT_EQ(host_io_wait(&word, 2, HOST_NEVER), 0);
	EXPECT_EQ(host_io_wait(&word, 2, 1), 0);
}

static void wait_times_out_at_its_deadline(void)
{
	for (int i = 0; i < 20; i++) {
		uint64_t deadline = host_clock_monotonic() + 300000;
		int word = 1, err;

		while ((err = host_io_wait(&word, 1, deadline)) == 0)
			;
		EXPECT_EQ(err, -ETIMEDOUT);
		EXPECT(host_clock_monotonic() >= deadline);
	}
}

/* Two threads hand a turn to and fro: each wait must be woken by the other's wake alone. */
struct rally {
	int ball[2];
	int turns;
};

static void *rally_run(void *arg)
{
	struct rally *rally = arg;

	for (int i = 1; i <= rally->turns; i++) {
		word_await(&rally->ball[0], i);
		word_bump(&rally->ball[1]);
	}
	return NULL;
}

static void rally_play(struct rally *rally)
{
	for (int i = 1; i <= rally->turns; i++) {
		word_bump(&rally->ball[0]);
		word_await(&rally->ball[1], i);
	}
}

static void two_threads_wake_each_other(void)
{
	struct rally rally = { .turns = (int)rounds(20000) };
	pthread_t other;

	pthread_create(&other, NULL, rally_run, &rally);
	rally_play(&rally);
	pthread_join(other, NULL);
}

static void *rally_play_run(void *arg)
{
	rally_play(arg);
	return NULL;
}

/* Now leadership changes hands at the same time. */
static void many_threads_wake_each_other(void)
{
	struct rally rallies[3] = { 0 };
	pthread_t threads[6];

	for (int i = 0; i < 3; i++) {
		rallies[i].turns = (int)rounds(5000);
		pthread_create(&threads[2 * i], NULL, rally_run, &rallies[i]);
		pthread_create(&threads[2 * i + 1], NULL, rally_play_run, &rallies[i]);
	}
	for (int i = 0; i < 6; i++)
		pthread_join(threads[i], NULL);
}

/* A descriptor whose event moves a word, as a frame makes a socket readable. */
struct feeder {
	struct host_io_source source;
	int word;
	pthread_t last_runner;
	int on_io_thread, on_other;
};

static pthread_t io_thread_seen;

static unsigned feeder_event(struct host_io_source *source, uint32_t events)
{
	struct feeder *feeder = (struct feeder *)source;
	uint64_t count;

	(void)events;
	EXPECT_EQ(read(source->fd, &count, sizeof(count)), sizeof(count));
	host_io_arm(source, EPOLLIN);
	__atomic_store_n(&feeder->last_runner, pthread_self(), __ATOMIC_SEQ_CST);
	word_bump(&feeder->word);
	return LKL_IRQ_NET;
}

static void feeder_start(struct feeder *feeder)
{
	*feeder = (struct feeder){ .source.event = feeder_event };
	feeder->source.fd = eventfd(0, EFD_NONBLOCK);
	EXPECT_EQ(host_io_add(&feeder->source), 0);
	host_io_arm(&feeder->source, EPOLLIN);
}

static void feeder_stop(struct feeder *feeder)
{
	host_io_del(&feeder->source);
	close(feeder->source.fd);
}

static void feed(struct feeder *feeder)
{
	const uint64_t one = 1;

	EXPECT_EQ(write(feeder->source.fd, &one, sizeof(one)), sizeof(one));
}

struct echo {
	struct feeder *to, *from;
	int turns;
};

static void *echo_run(void *arg)
{
	struct echo *echo = arg;

	for (int i = 1; i <= echo->turns; i++) {
		word_await(&echo->to->word, i);
		feed(echo->from);
	}
	return NULL;
}

/*
 * Round trips over descriptors: only one of the two can be the leader, the other is fed by
 * whoever polls.
 */
static void events_reach_their_waiters(void)
{
	struct feeder there, back;
	struct echo echo = { .to = &there, .from = &back, .turns = (int)rounds(5000) };
	pthread_t other;

	feeder_start(&there);
	feeder_start(&back);
	pthread_create(&other, NULL, echo_run, &echo);
	for (int i = 1; i <= echo.turns; i++) {
		feed(&there);
		word_await(&back.word, i);
	}
	pthread_join(other, NULL);
	feeder_stop(&there);
	feeder_stop(&back);
}

static void *feed_run(void *arg)
{
	struct feeder *feeder = arg;
	int fed = 0;

	/* The waiter has been seen; feed until an event ran on its thread. */
	while (!pthread_equal(__atomic_load_n(&feeder->last_runner, __ATOMIC_SEQ_CST),
			      io_thread_seen)) {
		feed(feeder);
		fed++;
		while (word_read(&feeder->word) < fed)
			host_futex_wait(&feeder->word, word_read(&feeder->word),
					host_clock_monotonic() + 1000000);
	}
	return NULL;
}

/*
 * What leader and followers are for: the event of the waiting thread's word runs on that very
 * thread.
 */
static void event_runs_on_the_thread_that_waits(void)
{
	struct feeder feeder;
	pthread_t other;
	int never = 0;

	feeder_start(&feeder);
	io_thread_seen = pthread_self();
	pthread_create(&other, NULL, feed_run, &feeder);
	while (!pthread_equal(__atomic_load_n(&feeder.last_runner, __ATOMIC_SEQ_CST),
			      pthread_self()))
		host_io_wait(&never, 0, host_clock_monotonic() + 100000000);
	pthread_join(other, NULL);
	feeder_stop(&feeder);
}

#define TICK_NS 50000u

static int ticks, ticks_max;

static void on_irq(unsigned bits)
{
	if (!(bits & LKL_IRQ_TIMER))
		return;
	if (word_read(&ticks) + 1 < word_read(&ticks_max))
		host_timer_set(host_clock_monotonic() + TICK_NS);
	word_bump(&ticks);
}

static void timer_is_on_time(void)
{
	uint64_t start = host_clock_monotonic();

	__atomic_store_n(&ticks_max, 50, __ATOMIC_SEQ_CST);
	host_timer_set(start + TICK_NS);
	word_await(&ticks, 50);
	EXPECT(host_clock_monotonic() - start >= 50 * TICK_NS);
	/* A time that has passed goes off at once. */
	host_timer_set(1);
	word_await(&ticks, 51);
	host_timer_set(host_clock_monotonic() + 1000000000);
	host_timer_set(HOST_NEVER);
	EXPECT_EQ(word_read(&ticks), 51);
}

struct load {
	int *words;
	int count, over;
};

static void *waker_run(void *arg)
{
	struct load *load = arg;
	unsigned seed = (unsigned)(uintptr_t)pthread_self();

	while (!word_read(&load->over)) {
		seed = seed * 1664525u + 1013904223u;
		word_bump(&load->words[(seed >> 16) % (unsigned)load->count]);
	}
	return NULL;
}

struct load_waiter {
	struct load *load;
	int word, waits;
};

/* Waits with and without deadlines on a word that several wakers move; sometimes nobody does. */
static void *load_waiter_run(void *arg)
{
	struct load_waiter *waiter = arg;
	int *word = &waiter->load->words[waiter->word];

	for (int i = 0; i < waiter->waits; i++) {
		int value = word_read(word);
		uint64_t deadline = i % 7 ? HOST_NEVER : host_clock_monotonic() + 20000;
		int err;

		do {
			err = host_io_wait(word, value, deadline);
		} while (word_read(word) == value && err != -ETIMEDOUT);
	}
	return NULL;
}

static void everything_at_once(void)
{
	int words[4] = { 0 };
	struct load load = { .words = words, .count = 4 };
	struct load_waiter waiters[4];
	struct rally rally = { .turns = (int)rounds(2000) };
	struct feeder there, back;
	struct echo echo = { .to = &there, .from = &back, .turns = (int)rounds(2000) };
	pthread_t wakers[2], threads[6];

	__atomic_store_n(&ticks_max, INT32_MAX, __ATOMIC_SEQ_CST);
	host_timer_set(1);
	feeder_start(&there);
	feeder_start(&back);
	for (int i = 0; i < 4; i++) {
		waiters[i] = (struct load_waiter){ &load, i, (int)rounds(2000) };
		pthread_create(&threads[i], NULL, load_waiter_run, &waiters[i]);
	}
	for (int i = 0; i < 2; i++)
		pthread_create(&wakers[i], NULL, waker_run, &load);
	pthread_create(&threads[4], NULL, rally_run, &rally);
	pthread_create(&threads[5], NULL, echo_run, &echo);
	rally_play(&rally);
	for (int i = 1; i <= echo.turns; i++) {
		feed(&there);
		word_await(&back.word, i);
	}
	for (int i = 0; i < 6; i++)
		pthread_join(threads[i], NULL);
	__atomic_store_n(&load.over, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 2; i++)
		pthread_join(wakers[i], NULL);
	__atomic_store_n(&ticks_max, 0, __ATOMIC_SEQ_CST);
	host_timer_set(HOST_NEVER);
	feeder_stop(&there);
	feeder_stop(&back);
}

static int signals;

static void on_signal(int number)
{
	(void)number;
	__atomic_add_fetch(&signals, 1, __ATOMIC_SEQ_CST);
}

struct signaller {
	pthread_t target;
	int over;
};

/* Again and again: one may come just before the wait begins, as with any system call. */
static void *signaller_run(void *arg)
{
	struct signaller *signaller = arg;

	while (!word_read(&signaller->over)) {
		pthread_kill(signaller->target, SIGUSR1);
		sched_yield();
	}
	return NULL;
}

/* The word never changes, and there is no deadline: only -EINTR ends these waits. */
static void signal_ends_a_wait(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct signaller signaller = { .target = pthread_self() };
	pthread_t other;
	int never = 0;

	sigaction(SIGUSR1, &action, NULL);
	pthread_create(&other, NULL, signaller_run, &signaller);
	for (unsigned i = 0; i < rounds(500); i++) {
		int err;

		/* 0: a late kick of an earlier wait. */
		while (!(err = host_io_wait(&never, 0, HOST_NEVER)))
			;
		EXPECT_EQ(err, -EINTR);
	}
	EXPECT(word_read(&signals) > 0);
	__atomic_store_n(&signaller.over, 1, __ATOMIC_SEQ_CST);
	pthread_join(other, NULL);
}

/* A source whose event raises a signal on the main thread, when it gets there. */
struct raiser {
	struct host_io_source source;
	pthread_t target;
	int missed;
};

static unsigned raiser_event(struct host_io_source *source, uint32_t events)
{
	struct raiser *raiser = (struct raiser *)source;

	(void)events;
	if (pthread_equal(raiser->target, pthread_self()))
		pthread_kill(raiser->target, SIGUSR1);
	else
		word_bump(&raiser->missed);
	return 0;
}

/* Its handler has run before the leader goes back to sleep: no -EINTR from there. */
static void signal_during_an_event_is_not_slept_over(void)
{
	struct raiser raiser = { .source = { .fd = -1, .event = raiser_event },
				 .target = pthread_self() };

	EXPECT_EQ(host_io_add(&raiser.source), 0);
	__atomic_store_n(&signals, 0, __ATOMIC_SEQ_CST);
	while (!word_read(&signals)) {
		int missed = word_read(&raiser.missed);

		host_io_ring(&raiser.source);
		host_io_wait(&raiser.missed, missed, HOST_NEVER);
	}
	host_io_del(&raiser.source);
}

static void stop_and_start_let_waiters_live(void)
{
	struct rally rally = { .turns = (int)rounds(3000) };
	pthread_t threads[2];

	pthread_create(&threads[0], NULL, rally_run, &rally);
	pthread_create(&threads[1], NULL, rally_play_run, &rally);
	for (unsigned i = 0; i < rounds(100); i++) {
		host_io_fork_prepare();
		host_io_fork_parent();
	}
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
}

/* As in a sandbox that does not know epoll_pwait2(). */
static void without_epoll_pwait2(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_pwait2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	EXPECT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	EXPECT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
	wait_times_out_at_its_deadline();
	two_threads_wake_each_other();
	events_reach_their_waiters();
}

int main(void)
{
	double_on_irq = on_irq;
	EXPECT_EQ(host_io_start(), 0);
	CASE(wait_returns_when_word_differs, 20);
	CASE(wait_times_out_at_its_deadline, 20);
	CASE(two_threads_wake_each_other, 240);
	CASE(many_threads_wake_each_other, 240);
	CASE(events_reach_their_waiters, 240);
	CASE(event_runs_on_the_thread_that_waits, 60);
	CASE(timer_is_on_time, 60);
	CASE(everything_at_once, 240);
	CASE(signal_ends_a_wait, 120);
	CASE(signal_during_an_event_is_not_slept_over, 60);
	CASE(stop_and_start_let_waiters_live, 120);
	CASE(without_epoll_pwait2, 240);
	host_io_stop();
	return 0;
}
