// SPDX-License-Identifier: GPL-2.0-only
/*
 * Boot, halt, panic and fork.
 *
 *	LOADED --boot--> RUNNING --halt--> HALTED	under life_lock, by the thread that boots or halts
 *	   |                | panic			by the thread that holds the CPU
 *	   +--------------> PANICKED --halt--> PANICKED	what it held is freed
 *	any --fork--> FORKED in the child		by its only thread
 *
 * The door (syscall.h) is what calls look at; the state is what people ask for.
 */
#include "life.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <lkl_host.h>

#include "console.h"
#include "drain.h"
#include "host/host.h"
#include "link_device.h"
#include "link_handle.h"
#include "readiness.h"
#include "registry.h"
#include "setup.h"
#include "syscall.h"

#define MEMORY_MIN (8u << 20)
#define COMMAND_LINE_MAX 2048

static pthread_mutex_t life_lock = PTHREAD_MUTEX_INITIALIZER;
static int state = LKLSOCK_LOADED; /* atomic */
static void *memory;               /* life_lock */
static size_t memory_bytes;
static bool io_started, kernel_begun;
static bool forking; /* from prepare to parent or child */

enum lklsock_state life_state(void)
{
	return __atomic_load_n(&state, __ATOMIC_ACQUIRE);
}

static bool state_change(int from, int to)
{
	return __atomic_compare_exchange_n(&state, &from, to, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

/* lkl_host_ops.panic */
static void panicked(const char *text)
{
	static const char word[] = "lklsock: the kernel is dead: ";

	console_write(word, sizeof(word) - 1);
	console_write(text, (unsigned)strlen(text));
	console_write("\n", 1);
	__atomic_store_n(&state, LKLSOCK_PANICKED, __ATOMIC_SEQ_CST);
	syscall_door_set(SYSCALL_DOOR_CLOSED);
	registry_end_all();
}

static void (*host_futex_wait_op)(int *word, int value, unsigned long long timeout_ns);

/* A thread that goes to sleep inside a call may have made others ready before. */
static void futex_wait(int *word, int value, unsigned long long timeout_ns)
{
	readiness_flush();
	host_futex_wait_op(word, value, timeout_ns);
}

static struct lkl_host_ops ops;

static void ops_fill(void)
{
	host_ops_fill(&ops);
	link_device_ops_fill(&ops);
	host_futex_wait_op = ops.futex_wait;
	ops.futex_wait = futex_wait;
	ops.print = console_write;
	ops.panic = panicked;
	ops.readiness = readiness_changed;
}

/* What the kernel and its links leave behind. The CPU is dead. life_lock held. */
static void resources_free(void)
{
	if (io_started)
		host_io_stop();
	io_started = false;
	link_handles_close_all();
	if (memory)
		host_memory_unmap(memory, memory_bytes);
	memory = NULL;
}

/* life_lock held. */
static long kernel_start(const struct lklsock_boot *boot)
{
	char command_line[COMMAND_LINE_MAX];
	int len;
	long ret;

	/* rdinit: the port takes its place (arch/lkl); it only has to exist. */
	len = snprintf(command_line, sizeof(command_line),
		       "loglevel=%d rdinit=/root dummy.numdummies=0 %s", boot->console_level,
		       boot->command_line ? boot->command_line : "");
	if (len < 0 || (size_t)len >= sizeof(command_line) || boot->memory_bytes < MEMORY_MIN ||
	    boot->console_level < 0 || boot->console_level > 8)
		return -EINVAL;
	memory_bytes = boot->memory_bytes;
	ret = host_memory_map(memory_bytes, &memory);
	if (ret)
		return ret;
	host_io_set_after_irq(readiness_flush);
	ret = host_io_start();
	if (ret)
		return ret;
	io_started = true;
	ops_fill();
	kernel_begun = true;
	return lkl_boot(&ops, memory, memory_bytes, command_line);
}

/* life_lock held. The kernel boots once only: what fails after it began ends it. */
static long boot_locked(const struct lklsock_boot *boot)
{
	long ret = kernel_start(boot);

	if (ret == 0) {
		syscall_door_set(SYSCALL_DOOR_PRIVATE);
		ret = setup_run(boot);
	}
	if (ret == 0 && state_change(LKLSOCK_LOADED, LKLSOCK_RUNNING)) {
		syscall_door_set(SYSCALL_DOOR_OPEN);
		return 0;
	}
	if (kernel_begun && state_change(LKLSOCK_LOADED, LKLSOCK_HALTED)) {
		syscall_door_set(SYSCALL_DOOR_CLOSED);
		lkl_halt();
	}
	resources_free();
	return ret ? ret : LKLSOCK_ENOTRUNNING;
}

long life_boot(const struct lklsock_boot *boot)
{
	long ret = -EALREADY;

	pthread_mutex_lock(&life_lock);
	if (life_state() == LKLSOCK_LOADED)
		ret = boot_locked(boot);
	pthread_mutex_unlock(&life_lock);
	return ret;
}

/* life_lock held, door PRIVATE: only this thread and who was inside already. */
static void say_goodbye(uint64_t deadline_ns)
{
	/* Sleepers that found the door open before have to look again. */
	registry_close_all(deadline_ns);
	/* Descriptors from the raw door. */
	syscall_do(LKL_NR_close_range, 0, (long)~0u, 0);
	drain_run(deadline_ns);
}

long life_halt(uint64_t deadline_ns)
{
	long ret = 0;

	pthread_mutex_lock(&life_lock);
	if (state_change(LKLSOCK_RUNNING, LKLSOCK_HALTED)) {
		syscall_door_set(SYSCALL_DOOR_PRIVATE);
		say_goodbye(deadline_ns);
		lkl_halt();
		syscall_door_set(SYSCALL_DOOR_CLOSED);
		registry_end_all();
		resources_free();
	} else if (life_state() == LKLSOCK_PANICKED) {
		resources_free();
	} else {
		ret = LKLSOCK_ENOTRUNNING;
	}
	pthread_mutex_unlock(&life_lock);
	return ret;
}

void life_fork_prepare(void)
{
	pthread_mutex_lock(&life_lock);
	forking = io_started;
	if (!forking)
		return;
	/* The pollers first, for they may be waiting for the CPU or for the registry. */
	host_io_fork_prepare();
	lkl_fork_prepare();
	link_handles_fork_prepare();
	registry_fork_prepare();
}

void life_fork_parent(void)
{
	if (forking) {
		registry_fork_parent();
		link_handles_fork_parent();
		lkl_fork_parent();
	}
	pthread_mutex_unlock(&life_lock);
}

void life_fork_resume(void)
{
	pthread_mutex_lock(&life_lock);
	if (io_started)
		host_io_fork_parent();
	pthread_mutex_unlock(&life_lock);
	readiness_flush();
}

void life_fork_child(void)
{
	__atomic_store_n(&state, LKLSOCK_FORKED, __ATOMIC_SEQ_CST);
	syscall_door_set(SYSCALL_DOOR_CLOSED);
	if (forking) {
		lkl_fork_child();
		host_io_fork_child();
		registry_fork_child();
		link_handles_fork_child();
		/* Or every page the parent writes from now on would be copied. */
		host_memory_unmap(memory, memory_bytes);
		memory = NULL;
	}
	pthread_mutex_unlock(&life_lock);
}
