// SPDX-License-Identifier: GPL-2.0-only
/*
 * Workers: the tasks that do system calls for host threads. They are threads of
 * pid 1 and belong to calls, not to host threads.
 *
 * The worker that did the last call stays current, "in user mode" (hot): the next call from any
 * host thread runs on it without a wake-up. A call that blocks leaves its worker asleep; the next
 * caller takes another one from the free list, and whichever thread runs the CPU when the call can go on finishes it.
 *
 *	free --submit--> runnable --> serving --> hot --submit--> serving
 *	 ^                              |  ^       |
 *	 |                              v  |       v
 *	 |                        asleep in a call parked (idle tick, or another worker is wanted)
 *	 +----------------------------------------+
 *
 * A bound worker is a task of its own for namespaces; it is never on the free list.
 */
#include <linux/list.h>
#include <linux/resume_user_mode.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/task_work.h>
#include <uapi/linux/sched.h>
#include <uapi/linux/sched/types.h>

#include "cpu.h"
#include "lkl.h"

/* Asleep and ready, always: a call may block, and then the next one needs a worker at once. */
#define SPARES		2
/* Calls further apart than this leave the CPU idle between them: no tick, no timer to set. */
#define BURST_NS	(10 * NSEC_PER_MSEC)
/* How long a call's own thread does the kernel's other work after it. */
#define DRAIN_NS	(50 * NSEC_PER_USEC)

struct lkl_worker {
	struct task_struct *task;
	struct lkl_request *request;
	struct lkl_worker *next;
	bool park;		/* the CPU is for somebody else */
	bool brief;		/* no other call is expected soon */
	bool bound;
	bool exiting;
};

static struct lkl_worker init_worker;
static struct lkl_worker *hot;
/* current is the hot worker, and what interrupts it interrupts nothing. */
static bool in_user_mode;
static struct lkl_worker *free_workers;
static unsigned int free_count;
/* To be woken by the coroutine that runs next. */
static struct lkl_worker *wake_next;
/* Kernel threads were still runnable when a call's time was up. */
static bool work_left;
/* Owners that sleep until their call is done. */
static struct lkl_request *sleepers;
static struct lkl_request *boot_request;
static unsigned long long calls_at_tick;
static unsigned long long last_cold_ns;

/* For the interrupt that comes in: a nested one, or a softirq's, hits the kernel. */
bool lkl_worker_leave_user_mode(void)
{
	bool user = in_user_mode;

	in_user_mode = false;
	return user;
}

/* Interrupts that are pending do not count: whoever has the CPU looks at them before it is through. */
int lkl_work_pending(void)
{
	return READ_ONCE(work_left);
}

/* The timer hit user mode: after a whole tick without a call let the CPU idle, so that the tick stops. */
void lkl_worker_tick(void)
{
	if (hot && lkl_stats.requests == calls_at_tick) {
		lkl_stats.parks++;
		hot->park = true;
	}
	calls_at_tick = lkl_stats.requests;
}

void lkl_worker_wake_next(void)
{
	struct lkl_worker *worker = wake_next;

	if (!worker)
		return;
	wake_next = NULL;
	wake_up_process(worker->task);
}

static int worker_start(void *unused)
{
	return 0;	/* to user mode: lkl_worker_loop() */
}

static int worker_create(void)
{
	struct lkl_worker *worker = kzalloc(sizeof(*worker), GFP_KERNEL);
	int pid;

	if (!worker)
		return -ENOMEM;
	pid = user_mode_thread(worker_start, worker,
			       CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD);
	if (pid < 0) {
		kfree(worker);
		return pid;
	}
	return 0;
}

static void sleeper_remove(struct lkl_request *request)
{
	*request->prev = request->next;
	if (request->next)
		request->next->prev = request->prev;
	request->prev = NULL;
}

static void sleeper_add(struct lkl_request *request)
{
	request->next = sleepers;
	request->prev = &sleepers;
	if (sleepers)
		sleepers->prev = &request->next;
	sleepers = request;
}

/* The owner may be gone as soon as done is 1. */
static void request_complete(struct lkl_request *request, long ret)
{
	request->ret = ret;
	if (likely(!request->prev)) {
		/* Its owner is the thread that runs this, or has not let go of the CPU yet. */
		WRITE_ONCE(request->done, 1);
		return;
	}
	sleeper_remove(request);
	if (__atomic_exchange_n(&request->done, 1, __ATOMIC_RELEASE) == -1)
		lkl_ops->futex_wake(&request->done, 1);
}

/* What the way back to user mode does elsewhere; close() leaves its work here. */
static void exit_to_user(void)
{
	unsigned long flags;

	while ((flags = READ_ONCE(current_thread_info()->flags)) &
	       (_TIF_NOTIFY_RESUME | _TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL | _TIF_NEED_RESCHED)) {
		if (flags & _TIF_NEED_RESCHED)
			schedule();
		if (flags & (_TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL)) {
			/* Nobody handles signals here: one left pending would make every later sleep return. */
			clear_notify_signal();
			task_work_run();
			flush_signals(current);
		}
		if (flags & _TIF_NOTIFY_RESUME) {
			clear_thread_flag(TIF_NOTIFY_RESUME);
			resume_user_mode_work(NULL);
		}
	}
}

static void serve(struct lkl_worker *worker)
{
	struct lkl_request *request = worker->request;
	long ret;

	worker->request = NULL;
	hot = NULL;
	/* Failure is no reason to refuse the call: the ones left still serve. */
	while (unlikely(free_count < SPARES) && !worker_create())
		yield();
	ret = request->fn ? request->fn(request->args) : lkl_syscall_do(request);
	if (request->watch)
		lkl_watch_mark(request->watch);
	exit_to_user();
	request_complete(request, ret);
	if (unlikely(worker->exiting)) {
		kfree(worker);
		do_exit(0);
	}
}

/* Lets the kernel's other tasks run for a while; what is left then is the I/O thread's. */
static void drain(void)
{
	unsigned long long until;

	work_left = false;
	if (likely(single_task_running()))
		return;
	until = sched_clock() + DRAIN_NS;
	do {
		yield();
		if (single_task_running())
			return;
	} while (sched_clock() < until);
	work_left = true;
	lkl_stats.kicks++;
	lkl_ops->kick();
}

static void sleep_until_wanted(struct lkl_worker *worker)
{
	worker->park = false;
	worker->brief = false;
	if (!worker->bound) {
		worker->next = free_workers;
		free_workers = worker;
		free_count++;
	}
	for (;;) {
		set_current_state(TASK_IDLE);
		if (worker->request)
			break;
		schedule();
	}
	__set_current_state(TASK_RUNNING);
}

/* Gives the host thread back until there is a call, an interrupt, or work that was left. */
static void wait_in_user_mode(struct lkl_worker *worker)
{
	lkl_watch_flush();
	in_user_mode = true;
	if (!READ_ONCE(lkl_irq_pending))
		lkl_context_leave();
	if (READ_ONCE(lkl_irq_pending))
		lkl_irq_run();
	in_user_mode = false;
	lkl_worker_wake_next();
}

/* init is up, and becomes the first worker. */
static void boot_finish(void)
{
	int i;

	/* Nobody will ever handle a signal. */
	for (i = 0; i < _NSIG; i++)
		current->sighand->action[i].sa.sa_handler = SIG_IGN;
	request_complete(boot_request, 0);
	boot_request = NULL;
}

void lkl_worker_loop(void)
{
	struct sched_param idle_priority = { };
	struct lkl_worker *worker = boot_request ? &init_worker : current->thread.arg;

	worker->task = current;
	set_task_comm(current, "lkl-worker");
	/* What the kernel itself has to do goes before the next call. */
	sched_setscheduler_nocheck(current, SCHED_IDLE, &idle_priority);
	if (boot_request)
		boot_finish();
	else
		sleep_until_wanted(worker);
	for (;;) {
		if (worker->request)
			serve(worker);
		else
			exit_to_user();
		/* One worker at a time is in user mode; the claim keeps two from yielding to each other. */
		if (!hot)
			hot = worker;
		if (hot == worker)
			drain();
		if (hot == worker && !worker->park && (!worker->brief || work_left)) {
			wait_in_user_mode(worker);
			continue;
		}
		if (hot == worker)
			hot = NULL;
		sleep_until_wanted(worker);
	}
}

/* CPU held, on a host stack. Return: false if there is no worker left for it. */
static bool request_start(struct lkl_request *request)
{
	struct lkl_worker *worker = request->task;
	unsigned long long now;

	lkl_stats.requests++;
	if (likely(hot && (worker ? hot == worker : !hot->bound))) {
		hot->request = request;
		return true;
	}
	lkl_stats.cold_requests++;
	if (!worker) {
		worker = free_workers;
		if (!worker)
			return false;
		free_workers = worker->next;
		free_count--;
	}
	worker->request = request;
	wake_next = worker;
	if (hot)
		hot->park = true;
	now = lkl_ops->clock_monotonic();
	worker->brief = now - last_cold_ns > BURST_NS;
	last_cold_ns = now;
	return true;
}

static long request_wait(struct lkl_request *request)
{
	int running = 0;

	if (__atomic_load_n(&request->done, __ATOMIC_ACQUIRE) == 1)
		return request->ret;
	if (__atomic_compare_exchange_n(&request->done, &running, -1, false,
					__ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(&request->done, __ATOMIC_ACQUIRE) == -1)
			lkl_ops->futex_wait(&request->done, -1, LKL_NEVER);
	return request->ret;
}

/* Runs the CPU for a request that was started, and lets go of it. CPU held, on a host stack. */
static long request_run(struct lkl_request *request)
{
	request->done = 0;
	request->prev = NULL;
	if (!lkl_context_enter())
		return LKL_DEAD;
	if (unlikely(!request->done)) {
		lkl_stats.sleeping_owners++;
		sleeper_add(request);
	}
	lkl_cpu_release();
	return request_wait(request);
}

long lkl_submit(struct lkl_request *request)
{
	int self = lkl_ops->thread_id();

	if (lkl_cpu_is_held_by(self))
		return LKL_REENTRY;
	if (unlikely(!lkl_cpu_lock(self)))
		return LKL_DEAD;
	if (unlikely(!request_start(request))) {
		lkl_cpu_release();
		return -ENOMEM;
	}
	return request_run(request);
}

/* init completes the request when it enters the worker loop. CPU held. */
long lkl_worker_boot(struct lkl_request *request)
{
	boot_request = request;
	return request_run(request);
}

/* Every call in flight ends, with nothing more done for it. CPU held, for good. */
void lkl_worker_abandon_all(void)
{
	while (sleepers)
		request_complete(sleepers, LKL_DEAD);
}

static long task_bind(long *args)
{
	struct lkl_worker *worker = free_workers;

	if (!worker)
		return 0;
	free_workers = worker->next;
	free_count--;
	worker->bound = true;
	return (long)worker;
}

static long task_unbind(long *args)
{
	((struct lkl_worker *)args[0])->exiting = true;
	return 0;
}

void *lkl_task_new(void)
{
	struct lkl_request request = { .nr = -1, .fn = task_bind };
	long ret = lkl_submit(&request);

	return ret == LKL_DEAD || ret == LKL_REENTRY || ret == -ENOMEM ? NULL : (void *)ret;
}

void lkl_task_del(void *task)
{
	struct lkl_request request = { .nr = -1, .fn = task_unbind, .args = { (long)task }, .task = task };

	lkl_submit(&request);
}
