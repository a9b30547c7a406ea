// SPDX-License-Identifier: GPL-2.0-only
/*
 * Watches tell the host when a file's readiness changes.
 *
 * A wait-queue entry, as epoll's, marks the watch dirty; so does every call that may take readiness away.
 * Before the CPU is given up each dirty one is polled. That is sound, for each gain of readiness comes with a wake-up, and each
 * loss with a call.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/poll.h>
#include <linux/slab.h>

#include "lkl.h"

/* Sockets have one wait queue; some files have one to read and one to write. */
#define QUEUES	2

#define EVENTS	(EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDHUP)

struct watch {
	struct list_head dirty;
	struct file *file;	/* NULL: moved away from its own, to none */
	struct lkl_watch_state *state;
	poll_table table;
	unsigned int entries;
	struct watch_entry {
		wait_queue_entry_t wait;
		wait_queue_head_t *head;
		struct watch *watch;
	} entry[QUEUES];
};

static LIST_HEAD(dirty_watches);

void lkl_watch_mark(void *arg)
{
	struct watch *watch = arg;

	if (__atomic_load_n(&watch->state->armed, __ATOMIC_RELAXED) && list_empty(&watch->dirty))
		list_add_tail(&watch->dirty, &dirty_watches);
}

static int watch_woken(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	lkl_watch_mark(container_of(wait, struct watch_entry, wait)->watch);
	return 0;
}

static void watch_queue(struct file *file, wait_queue_head_t *head, poll_table *table)
{
	struct watch *watch = container_of(table, struct watch, table);
	struct watch_entry *entry;

	if (WARN_ON_ONCE(watch->entries == QUEUES))
		return;
	entry = &watch->entry[watch->entries++];
	entry->watch = watch;
	entry->head = head;
	init_waitqueue_func_entry(&entry->wait, watch_woken);
	add_wait_queue(head, &entry->wait);
}

static unsigned int watch_poll(struct watch *watch)
{
	unsigned int mask = 0;

	if (likely(watch->file))
		mask = (__force unsigned int)vfs_poll(watch->file, NULL) & EVENTS;
	lkl_stats.watch_polls++;
	if (mask != watch->state->mask) {
		lkl_stats.watch_changes++;
		__atomic_store_n(&watch->state->mask, mask, __ATOMIC_RELEASE);
		if (__atomic_load_n(&watch->state->armed, __ATOMIC_RELAXED))
			lkl_ops->readiness(watch->state);
	}
	return mask;
}

void lkl_watch_flush(void)
{
	struct watch *watch;

	while (unlikely(!list_empty(&dirty_watches))) {
		watch = list_first_entry(&dirty_watches, struct watch, dirty);
		list_del_init(&watch->dirty);
		watch_poll(watch);
	}
}

/* Takes over the file. */
static unsigned int watch_attach(struct watch *watch, struct file *file)
{
	watch->file = file;
	init_poll_funcptr(&watch->table, watch_queue);
	return (__force unsigned int)vfs_poll(file, &watch->table) & EVENTS;
}

static void watch_detach(struct watch *watch)
{
	unsigned int i;

	for (i = 0; i < watch->entries; i++)
		remove_wait_queue(watch->entry[i].head, &watch->entry[i].wait);
	watch->entries = 0;
	list_del_init(&watch->dirty);
	if (watch->file)
		fput(watch->file);
	watch->file = NULL;
}

static long watch_add(long *args)
{
	struct file *file = fget(args[0]);
	struct watch *watch;

	if (!file)
		return 0;
	watch = kzalloc(sizeof(*watch), GFP_KERNEL);
	if (!watch) {
		fput(file);
		return 0;
	}
	INIT_LIST_HEAD(&watch->dirty);
	watch->state = (struct lkl_watch_state *)args[1];
	watch->state->mask = watch_attach(watch, file);
	return (long)watch;
}

static long watch_del(long *args)
{
	struct watch *watch = (struct watch *)args[0];

	watch_detach(watch);
	kfree(watch);
	return 0;
}

static long watch_move(long *args)
{
	struct watch *watch = (struct watch *)args[0];
	struct file *file = NULL;

	if (args[1] >= 0) {
		file = fget(args[1]);
		if (!file)
			return -EBADF;
	}
	watch_detach(watch);
	if (file)
		watch_attach(watch, file);
	watch_poll(watch);
	return 0;
}

static long watch_arm(long *args)
{
	struct watch *watch = (struct watch *)args[0];
	unsigned int mask = watch_poll(watch);

	if (!(mask & args[1]))
		__atomic_add_fetch(&watch->state->armed, 1, __ATOMIC_RELAXED);
	return mask;
}

void *lkl_watch_add(int fd, struct lkl_watch_state *state)
{
	struct lkl_request request = { .nr = -1, .fn = watch_add, .args = { fd, (long)state } };
	long ret = lkl_submit(&request);

	return ret == LKL_DEAD || ret == LKL_REENTRY || ret == -ENOMEM ? NULL : (void *)ret;
}

void lkl_watch_del(void *watch)
{
	struct lkl_request request = { .nr = -1, .fn = watch_del, .args = { (long)watch } };

	lkl_submit(&request);
}

long lkl_watch_move(void *watch, int fd)
{
	struct lkl_request request = { .nr = -1, .fn = watch_move, .args = { (long)watch, fd } };

	return lkl_submit(&request);
}

long lkl_watch_arm(void *watch, unsigned int events)
{
	struct lkl_request request = { .nr = -1, .fn = watch_arm, .args = { (long)watch, events } };

	return lkl_submit(&request);
}
