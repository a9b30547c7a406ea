// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting on a word, and polling meanwhile: leader and followers.
 *
 * The I/O thread stands in epoll_wait() all the time. At most one waiting thread, the leader,
 * stands there too; epoll wakes the last comer of its exclusive waiters, so the leader gets the
 * events and the I/O thread sleeps on. Other waiters, the followers, sleep in futex(2).
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
 *	  epoll_wait() or busy with events), that makes a new edge, and stays out of epoll_wait()
 *	  until the turn has changed: nobody else can take it then, so the leader finds it, in its
 *	  sleep or when it comes.
 *	- The leader itself is the waker (an event it handled changed the word): it checks
 *	  *word after every batch.
 * A kick may be late and meet the next leader, whose wait then returns early.
 *
 * Signals of the leader are blocked except inside epoll_pwait2(): one that comes
 * while it handles events ends the next wait rather than being slept over.
 */
#include <errno.h>
#include <lkl_host.h>
#include <pthread.h>

#include "io.h"

/* Batches after which a leader under constant load looks for signals. */
#define BATCHES_MAX 256

static struct {
	int turn;
	int awaited;		/* threads that sleep on turn */
	int *word;
	pthread_t thread;
} lead;

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

void io_leader_pass_kick(void)
{
	int turn = word_read(&lead.turn);

	/* Nobody leads: it came too late. */
	if (!(turn & 1))
		return;
	io_signal(&io_fds.leader);
	lead_wait_end(turn);
}

void io_leader_wait_gone(void)
{
	int turn = word_read(&lead.turn);

	/* A later leader sees that io_running is false. */
	if (turn & 1)
		lead_wait_end(turn);
}

/* Return: 0, -ETIMEDOUT, -EINTR, as host_io_wait(). */
static int leader_poll(int *word, int value, uint64_t deadline_ns, const sigset_t *signals)
{
	bool pending = lkl_work_pending();
	struct io_batch batch;

	for (int batches = 0; batches < BATCHES_MAX; batches++) {
		int count;

		if (word_read(word) != value || !__atomic_load_n(&io_running, __ATOMIC_SEQ_CST))
			return 0;
		count = io_poll(pending ? 0 : deadline_ns, signals, &batch);
		if (count == -EINTR)
			return count;
		if (pending)
			batch.irq |= LKL_IRQ_KICK;
		if (batch.irq)
			io_irq(batch.irq);
		pending = lkl_work_pending();
		if (batch.leader_kick || batch.stop)
			return 0;
		if (count <= 0 && deadline_ns != HOST_NEVER &&
		    host_clock_monotonic() >= deadline_ns)
			return -ETIMEDOUT;
	}
	return -EINTR;
}

static int leader_wait(int *word, int value, uint64_t deadline_ns)
{
	sigset_t all, before;
	int err;

	io_signals_all(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	err = leader_poll(word, value, deadline_ns, &before);
	lead_end();
	/* What the leader would have gone on with. */
	if (lkl_work_pending())
		host_io_kick();
	pthread_sigmask(SIG_SETMASK, &before, NULL);
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
