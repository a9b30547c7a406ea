/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tests of liblkl.so through its function table. Each TEST runs in a process of its own, with a
 * deadline.
 *
 *	usage: test_NAME path/to/liblkl.so [TEST]
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <lklsock.h>

struct test {
	const char *name;
	void (*run)(void);
	struct test *next;
};

void test_register(struct test *test);
void test_fail(const char *file, int line, const char *format, ...)
	__attribute__((noreturn, format(printf, 3, 4)));

#define TEST(fact) \
	static void fact(void); \
	static struct test test_##fact = { #fact, fact, NULL }; \
	__attribute__((constructor)) static void register_##fact(void) \
	{ \
		test_register(&test_##fact); \
	} \
	static void fact(void)

#define CHECK(condition) \
	do { \
		if (!(condition)) \
			test_fail(__FILE__, __LINE__, "not so: %s", #condition); \
	} while (0)

#define EQ(got, wanted) \
	do { \
		long got_ = (long)(got), wanted_ = (long)(wanted); \
		if (got_ != wanted_) \
			test_fail(__FILE__, __LINE__, "%s is %ld, not %ld", #got, got_, wanted_); \
	} while (0)

/* Succeeds (>= 0), or ends the test. */
#define OK(call) \
	({ \
		long ret_ = (long)(call); \
		if (ret_ < 0) \
			test_fail(__FILE__, __LINE__, "%s is %ld", #call, ret_); \
		ret_; \
	})

/* The library, loaded; booted by boot(). */
extern const struct lklsock_api *lkl;
/* One more copy of it: another kernel. */
const struct lklsock_api *load_another(void);

#define MIB (1ull << 20)

void boot(void);
void boot_kernel(const struct lklsock_api *kernel, uint64_t memory_bytes);

uint64_t now_ns(void);
/* A moment from now on by which anything must have happened. */
uint64_t soon(void);
/* A moment at which something that must not happen would have. */
uint64_t shortly(void);

pthread_t thread_start(void *(*run)(void *), void *arg);
void *thread_join(pthread_t thread);

/* poll(2) of one descriptor: what is up of events after timeout_ms at most. */
int poll_fd(int fd, int events, int timeout_ms);
/* Waits until poll(2) shows exactly this mask. */
void poll_until(int fd, int events, int mask);

#endif
