/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stand-in for liblkl.so, for tests of the binding: the same table, over
 * sockets of the host. So the binding's results can be laid beside the
 * stdlib's, and what a kernel does on a bad day can be had on demand.
 */
#ifndef FAKE_H
#define FAKE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <lklsock.h>

#include <errno.h>
#include <stdatomic.h>

/* System calls that are for the test; others go to the host. fake.py has the same names. */
enum {
	KNOB_FAIL = 100000,	/* the next call of a socket but ioctl() returns args[0] */
	KNOB_STATE,		/* state() becomes args[0] */
	KNOB_OPEN_SOCKETS,	/* return: how many are alive */
	KNOB_TASKS,		/* return: how many are alive */
	KNOB_LINKS,		/* return: how many are alive */
	KNOB_FORKS,		/* return: 1000 * resume + 100 * prepare + 10 * parent + child calls seen */
	KNOB_BOOT_FAIL,		/* the next boot() returns args[0] and leaves the state args[1] */
	KNOB_ADD,		/* return: args[0] + args[1] + ... + args[5] */
	KNOB_CALLS,		/* return: calls of sockets so far */
	KNOB_ADDRESS,		/* copies the address of the last bind, connect, sendto to args[0]; return: its length */
	KNOB_NAME,		/* the next getsockname() gives args[1] bytes at args[0] */
};

extern atomic_int fake_state, fake_sockets, fake_tasks, fake_links, fake_calls;
extern atomic_long fake_fail_next;
/* Readable once the kernel is halted. */
extern int fake_halt_event;
/* What KNOB_ADDRESS and KNOB_NAME are about. */
extern char fake_last_address[128], fake_next_name[128];
extern socklen_t fake_last_address_len, fake_next_name_len;

/* Adds to the console. */
void fake_say(const char *text);

/* What each call into the kernel begins with. Return: 0, or what the call has to return. */
static inline long entered(void)
{
	long rc = atomic_exchange(&fake_fail_next, 0);

	atomic_fetch_add(&fake_calls, 1);
	if (rc)
		return rc;
	return atomic_load(&fake_state) == LKLSOCK_RUNNING ? 0 : LKLSOCK_ENOTRUNNING;
}

static inline long result(long rc)
{
	return rc < 0 ? -errno : rc;
}

/* Fill in their part of the table. */
void fake_sockets_fill(struct lklsock_api *api);
void fake_links_fill(struct lklsock_api *api);

#endif
