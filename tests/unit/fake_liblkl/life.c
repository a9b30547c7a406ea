// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fake's life, its knobs, and its table.
 */
#include "fake.h"

#include <fcntl.h>
#include <string.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct lklsock_task {
	int alive;
};

atomic_int fake_state = LKLSOCK_LOADED;
atomic_int fake_sockets, fake_tasks, fake_links, fake_calls;
atomic_long fake_fail_next;
int fake_halt_event = -1;
char fake_last_address[128], fake_next_name[128];
socklen_t fake_last_address_len, fake_next_name_len;

static atomic_int forks_prepared, forks_parent, forks_resumed, forks_child;
static atomic_long boot_result, boot_state;
static char console[65536];

void fake_say(const char *text)
{
	strncat(console, text, sizeof(console) - strlen(console) - 1);
}

static const char *do_kernel_version(void)
{
	return "6.12.999-fake";
}

static long do_boot(const struct lklsock_boot *boot)
{
	long rc = atomic_exchange(&boot_result, 0);

	if (atomic_load(&fake_state) != LKLSOCK_LOADED)
		return -EBUSY;
	fake_say("Linux version 6.12.999-fake\n");
	fake_say("Command line: ");
	fake_say(boot->command_line);
	fake_say("\n");
	if (boot->hostname) {
		fake_say("Hostname: ");
		fake_say(boot->hostname);
		fake_say("\n");
	}
	if (rc) {
		fake_say("fake: no boot today\n");
		atomic_store(&fake_state, (int)atomic_load(&boot_state));
		return rc;
	}
	fake_halt_event = eventfd(0, EFD_CLOEXEC);
	atomic_store(&fake_state, LKLSOCK_RUNNING);
	return 0;
}

static long do_halt(uint64_t deadline_ns)
{
	uint64_t one = 1;

	(void)deadline_ns;
	if (atomic_load(&fake_state) != LKLSOCK_RUNNING)
		return LKLSOCK_ENOTRUNNING;
	atomic_store(&fake_state, LKLSOCK_HALTED);
	return write(fake_halt_event, &one, sizeof(one)) < 0 ? -errno : 0;
}

static enum lklsock_state do_state(void)
{
	return (enum lklsock_state)atomic_load(&fake_state);
}

static size_t do_console_tail(char *buf, size_t size)
{
	size_t len = strlen(console), n = len < size - 1 ? len : size - 1;

	memcpy(buf, console + len - n, n);
	buf[n] = '\0';
	return n;
}

static void do_fork_prepare(void)
{
	atomic_fetch_add(&forks_prepared, 1);
}

static void do_fork_parent(void)
{
	atomic_fetch_add(&forks_parent, 1);
}

static void do_fork_resume(void)
{
	atomic_fetch_add(&forks_resumed, 1);
}

static void do_fork_child(void)
{
	atomic_fetch_add(&forks_child, 1);
	atomic_store(&fake_state, LKLSOCK_FORKED);
}

static long do_system_call(struct lklsock_task *task, long nr, const long a[6])
{
	long rc;

	switch (nr) {
	case KNOB_FAIL:
		atomic_store(&fake_fail_next, a[0]);
		return 0;
	case KNOB_STATE:
		atomic_store(&fake_state, (int)a[0]);
		return 0;
	case KNOB_OPEN_SOCKETS:
		return atomic_load(&fake_sockets);
	case KNOB_TASKS:
		return atomic_load(&fake_tasks);
	case KNOB_LINKS:
		return atomic_load(&fake_links);
	case KNOB_FORKS:
		return 1000 * atomic_load(&forks_resumed) + 100 * atomic_load(&forks_prepared) +
		       10 * atomic_load(&forks_parent) + atomic_load(&forks_child);
	case KNOB_BOOT_FAIL:
		atomic_store(&boot_result, a[0]);
		atomic_store(&boot_state, a[1]);
		return 0;
	case KNOB_ADD:
		return a[0] + a[1] + a[2] + a[3] + a[4] + a[5] + (task ? 1000 : 0);
	case KNOB_CALLS:
		return atomic_load(&fake_calls);
	case KNOB_ADDRESS:
		memcpy((void *)a[0], fake_last_address, fake_last_address_len);
		return fake_last_address_len;
	case KNOB_NAME:
		memcpy(fake_next_name, (void *)a[0], (size_t)a[1]);
		fake_next_name_len = (socklen_t)a[1];
		return 0;
	}
	rc = entered();
	if (rc)
		return rc;
	return result(syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]));
}

static struct lklsock_task *do_task_new(void)
{
	struct lklsock_task *task;

	if (atomic_load(&fake_state) != LKLSOCK_RUNNING)
		return NULL;
	task = calloc(1, sizeof(*task));
	atomic_fetch_add(&fake_tasks, 1);
	return task;
}

static void do_task_free(struct lklsock_task *task)
{
	free(task);
	atomic_fetch_sub(&fake_tasks, 1);
}

static long do_file_read(const char *path, void *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	long rc;

	if (fd < 0)
		return -errno;
	rc = result(read(fd, buf, size));
	close(fd);
	return rc;
}

static long do_file_write(const char *path, const void *buf, size_t size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	long rc;

	if (fd < 0)
		return -errno;
	rc = result(write(fd, buf, size));
	close(fd);
	return rc;
}

static long do_statistics(struct lklsock_statistics *out)
{
	long rc = entered();

	if (rc)
		return rc;
	memset(out, 0, sizeof(*out));
	out->requests = 7;
	out->total_pages = 1ULL << 40;
	return 0;
}

#ifndef FAKE_ABI
#define FAKE_ABI LKLSOCK_ABI
#endif

const struct lklsock_api *lkl_api(unsigned abi)
{
	static struct lklsock_api api = {
		.abi = FAKE_ABI,
		.size = sizeof(api),
		.kernel_version = do_kernel_version,
		.boot = do_boot,
		.halt = do_halt,
		.state = do_state,
		.console_tail = do_console_tail,
		.fork_prepare = do_fork_prepare,
		.fork_parent = do_fork_parent,
		.fork_resume = do_fork_resume,
		.fork_child = do_fork_child,
		.system_call = do_system_call,
		.task_new = do_task_new,
		.task_free = do_task_free,
		.file_read = do_file_read,
		.file_write = do_file_write,
		.statistics = do_statistics,
	};

	if (abi != FAKE_ABI)
		return NULL;
	fake_sockets_fill(&api);
	fake_links_fill(&api);
	return &api;
}
