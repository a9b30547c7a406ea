// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting on a word, and polling meanwhile: leader and followers.
 *
 * At most one waiting thread, the leader, polls. Other waiters, the followers, sleep in futex(2).
 * The I/O thread polls, too; epoll wakes the last comer of its exclusive waiters, so a leader who
 * sleeps there gets the events. An event that comes while the leader is on its way in or out goes
 * to the I/O thread, two hops more for the waiter; so after an event the I/O thread stands back:
 *
 *	somebody leads			until that turn is over
 *	nobody, but GAP_NS ago		for LOOK_NS, or a kick; then looks again
 *	a thread runs kernel code	for BUSY_NS, or a kick; then looks again
 *	nobody				not at all
 *
 * A program that makes one round trip after the other is in the first two all the time. One that
 * sends in bulk is in the third: the I/O thread could not run the kernel for each acknowledgement, only
 * take a core from who does, or from the peer. One that works on what it received is soon in the
 * last, and has the I/O thread beside it.
 *
 * lead.turn is even while nobody leads, odd while somebody does:
 *
 *	even --host_io_wait(), nobody leads-->
 *	odd:	thread and word are set, then *word is checked
 *	odd  --*word differs, kick, deadline, signal, stop-->
 *	even:	word and thread were cleared before
 *
 * Only the leader writes thread and turn; word is set by the leader, and taken away (NULL) by
 * one waker, who then owes it one kick.
 *
 * No wake-up is lost. The waker writes *word, then reads followers and lead.word; a waiter
 * writes those, then reads *word; all four are sequentially consistent, so either the waiter sees
 * the new value or the waker sees the waiter.
 *	- A follower seen: futex_wake(), and the kernel compares *word under its own lock.
 *	- A leader seen: an event of io_fds.leader. It is one edge, which goes to one poller. If that
 *	  is the leader, it leaves. If it is the I/O thread (the leader was on its way into
 *	  epoll_wait() or busy with events), that makes a new edge, and stands back until the turn
 *	  is over: nobody else can take it then, so the leader finds it, in its sleep or when it
 *	  comes.
 *	- The leader itself is the waker (an event it handled changed the word): it checks
 *	  *word after every batch.
 * A kick may be late and meet the next leader, whose wait then returns early.
 *
 * A signal ends epoll_wait(). One whose handler ran while the leader was busy with events does
 * not: so after events it sleeps for SIGNAL_NS at most, and then has its caller look for signals.
 * Blocking them meanwhile would cost two system calls, and send them to other threads.
 */
#include <errno.h>
#include <lkl_host.h>
#include <pthread.h>

#include "io.h"

/* Batches after which a leader under constant load looks for signals. */
#define BATCHES_MAX 256

#define SIGNAL_NS 200000000

#define GAP_NS 30000
#define LOOK_NS 200000
#define BUSY_NS 50000

static struct {
	int turn;
	int awaited; /* threads that sleep on turn */
	int *word;
	pthread_t thread;
	uint64_t ended_ns; /* when the last turn was over */
} lead;

/* Of the I/O thread. */
static struct {
	bool sleeps; /* on kicks */
	int kicks;
} back;

static int followers;

static int word_read(int *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static bool leader_is_self(void)
{
	return pthread_equal(__atomic_load_n(&lead.thread, __ATOMIC_RELAXED), pthread_self());
}

/* Return: false if somebody leads, or there is nothing to poll. */
static bool lead_begin(int *word)
{
	int turn = __atomic_load_n(&lead.turn, __ATOMIC_RELAXED);

	/* A wait inside an event() of the leader cannot lead again: turn is odd. */
	if (turn & 1 || !__atomic_load_n(&io_running, __ATOMIC_RELAXED) ||
	    !__atomic_compare_exchange_n(&lead.turn, &turn, turn + 1, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_RELAXED))
		return false;
	__atomic_store_n(&lead.thread, pthread_self(), __ATOMIC_RELAXED);
	__atomic_store_n(&lead.word, word, __ATOMIC_SEQ_CST);
	return true;
}

static void lead_end(void)
{
	__atomic_store_n(&lead.word, NULL, __ATOMIC_SEQ_CST);
	__atomic_store_n(&lead.thread, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&lead.ended_ns, host_clock_monotonic(), __ATOMIC_RELAXED);
	__atomic_add_fetch(&lead.turn, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&lead.awaited, __ATOMIC_SEQ_CST))
		host_futex_wake(&lead.turn, INT32_MAX);
}

/* Sleeps until this turn has ended. */
static void lead_wait_end(int turn)
{
	__atomic_add_fetch(&lead.awaited, 1, __ATOMIC_SEQ_CST);
	while (word_read(&lead.turn) == turn)
		host_futex_wait(&lead.turn, turn, HOST_NEVER);
	__atomic_sub_fetch(&lead.awaited, 1, __ATOMIC_SEQ_CST);
}

bool io_leader_is_there(void)
{
	return word_read(&lead.turn) & 1;
}

void io_leader_pass_kick(void)
{
	/* Nobody leads: it came too late. */
	if (io_leader_is_there())
		io_signal(&io_fds.leader);
}

int io_back_kicks(void)
{
	return word_read(&back.kicks);
}

void io_back_kick(void)
{
	__atomic_add_fetch(&back.kicks, 1, __ATOMIC_SEQ_CST);
	/* A leader gets the event of the kick. */
	if (__atomic_load_n(&back.sleeps, __ATOMIC_SEQ_CST) && !io_leader_is_there())
		host_futex_wake(&back.kicks, 1);
}

/* Sleeps for this long, less if there is a kick after the number given. */
static void back_sleep(int kicks, uint64_t look_ns)
{
	__atomic_store_n(&back.sleeps, true, __ATOMIC_SEQ_CST);
	host_futex_wait(&back.kicks, kicks, host_clock_monotonic() + look_ns);
	__atomic_store_n(&back.sleeps, false, __ATOMIC_SEQ_CST);
}

static bool led_recently(void)
{
	return host_clock_monotonic() - __atomic_load_n(&lead.ended_ns, __ATOMIC_RELAXED) < GAP_NS;
}

void io_back_stand(int kicks_seen)
{
	int last = 0;

	for (;;) {
		int turn = word_read(&lead.turn), kicks = word_read(&back.kicks);

		if (!__atomic_load_n(&io_running, __ATOMIC_SEQ_CST))
			return;
		if (!(turn & 1) && (kicks != kicks_seen || !(led_recently() || lkl_cpu_busy())))
			return;
		/* A long turn: nothing to look for before its end. */
		if (turn & 1 && turn == last)
			lead_wait_end(turn);
		else
			back_sleep(kicks, lkl_cpu_busy() ? BUSY_NS : LOOK_NS);
		last = turn;
	}
}

void io_leader_wait_gone(void)
{
	int turn = word_read(&lead.turn);

	/* A later leader sees that io_running is false. */
	if (turn & 1)
		lead_wait_end(turn);
}

/* Return: 0, -ETIMEDOUT, -EINTR, as host_io_wait(). */
static int leader_poll(int *word, int value, uint64_t deadline_ns)
{
	bool pending = lkl_work_pending();
	uint64_t until_ns = deadline_ns;
	struct io_batch batch;

	for (int batches = 0; batches < BATCHES_MAX; batches++) {
		int count;

		if (word_read(word) != value || !__atomic_load_n(&io_running, __ATOMIC_SEQ_CST))
			return 0;
		count = io_poll(pending ? 0 : until_ns, &batch);
		if (count == -EINTR)
			return count;
		if (pending)
			batch.irq |= LKL_IRQ_KICK;
		if (batch.irq)
			io_irq(batch.irq);
		if (batch.leader_kick || batch.stop)
			return 0;
		if (!count && !pending)
			return host_clock_monotonic() >= deadline_ns ? -ETIMEDOUT : -EINTR;
		if (word_read(word) != value)
			return 0;
		pending = lkl_work_pending();
		until_ns = host_clock_monotonic() + SIGNAL_NS;
		if (until_ns > deadline_ns)
			until_ns = deadline_ns;
	}
	return -EINTR;
}

static int leader_wait(int *word, int value, uint64_t deadline_ns)
{
	int err = leader_poll(word, value, deadline_ns);

	lead_end();
	/* What the leader would have gone on with. */
	if (lkl_work_pending())
		host_io_kick();
	return err;
}

int host_io_wait(int *word, int value, uint64_t deadline_ns)
{
	int err = 0;

	if (word_read(word) != value)
		return 0;
	if (lead_begin(word)) {
		err = leader_wait(word, value, deadline_ns);
	} else {
		__atomic_add_fetch(&followers, 1, __ATOMIC_SEQ_CST);
		err = host_futex_wait(word, value, deadline_ns);
		__atomic_sub_fetch(&followers, 1, __ATOMIC_SEQ_CST);
	}
	return err && word_read(word) != value ? 0 : err;
}

void host_io_wake(int *word)
{
	int *led;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&followers, __ATOMIC_SEQ_CST))
		host_futex_wake(word, INT32_MAX);
	led = __atomic_load_n(&lead.word, __ATOMIC_SEQ_CST);
	if (led != word || leader_is_self())
		return;
	if (__atomic_compare_exchange_n(&lead.word, &led, NULL, false, __ATOMIC_SEQ_CST,
					__ATOMIC_RELAXED))
		io_signal(&io_fds.leader);
}
