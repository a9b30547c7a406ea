// SPDX-License-Identifier: GPL-2.0-only
/*
 * Running tests, and what all of them need.
 */
#include "harness.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define DEADLINE_S 60

const struct lklsock_api *lkl;

static const char *library;
static struct test *tests;

void test_register(struct test *test)
{
	struct test **end = &tests;

	while (*end)
		end = &(*end)->next;
	*end = test;
}

void test_fail(const char *file, int line, const char *format, ...)
{
	static char console[16384];
	va_list args;

	fprintf(stderr, "  %s:%d: ", file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	if (lkl && lkl->console_tail(console, sizeof(console)))
		fprintf(stderr, "  console:\n%s", console);
	_exit(1);
}

static const struct lklsock_api *load(const char *path)
{
	const struct lklsock_api *(*get)(unsigned abi);
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		test_fail(__FILE__, __LINE__, "%s", dlerror());
	get = (const struct lklsock_api *(*)(unsigned))dlsym(handle, "lkl_api");
	CHECK(get);
	CHECK(get(LKLSOCK_ABI));
	return get(LKLSOCK_ABI);
}

const struct lklsock_api *load_another(void)
{
	int from = open(library, O_RDONLY | O_CLOEXEC);
	int to = memfd_create("liblkl", MFD_CLOEXEC);
	struct stat stat;
	char path[64];

	CHECK(from >= 0 && to >= 0 && !fstat(from, &stat));
	for (off_t left = stat.st_size; left > 0;) {
		ssize_t moved = sendfile(to, from, NULL, (size_t)left);

		CHECK(moved > 0);
		left -= moved;
	}
	close(from);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", to);
	return load(path);
}

void boot_kernel(const struct lklsock_api *kernel, uint64_t memory_bytes)
{
	const struct lklsock_boot how = {
		.memory_bytes = memory_bytes,
		.command_line = "",
		.hostname = "box",
		.console_level = 5,
	};

	OK(kernel->boot(&how));
}

void boot(void)
{
	boot_kernel(lkl, 64 * MIB);
}

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t soon(void)
{
	return now_ns() + 20000000000ull;
}

uint64_t shortly(void)
{
	return now_ns() + 30000000u;
}

pthread_t thread_start(void *(*run)(void *), void *arg)
{
	pthread_t thread;

	EQ(pthread_create(&thread, NULL, run, arg), 0);
	return thread;
}

void *thread_join(pthread_t thread)
{
	void *result;

	EQ(pthread_join(thread, &result), 0);
	return result;
}

int poll_fd(int fd, int events, int timeout_ms)
{
	struct pollfd pollfd = { .fd = fd, .events = (short)events };

	CHECK(poll(&pollfd, 1, timeout_ms) >= 0);
	return pollfd.revents;
}

void poll_until(int fd, int events, int mask)
{
	uint64_t deadline = soon();
	int seen;

	while ((seen = poll_fd(fd, events, 0)) != mask)
		if (now_ns() > deadline)
			test_fail(__FILE__, __LINE__, "poll shows %#x, not %#x", seen, mask);
}

static void run_one(const struct test *test)
{
	alarm(DEADLINE_S);
	lkl = load(library);
	test->run();
	exit(0);
}

/* Return: whether it passed. */
static int passed(const struct test *test)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid)
		run_one(test);
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && !WEXITSTATUS(status)) {
		printf("ok    %s\n", test->name);
		return 1;
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		printf("HANGS %s (%d s)\n", test->name, DEADLINE_S);
	else if (WIFSIGNALED(status))
		printf("DIES  %s (signal %d)\n", test->name, WTERMSIG(status));
	else
		printf("FAILS %s\n", test->name);
	return 0;
}

int main(int argc, char **argv)
{
	int failures = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: %s path/to/liblkl.so [TEST]\n", argv[0]);
		return 2;
	}
	library = realpath(argv[1], NULL);
	if (!library) {
		perror(argv[1]);
		return 2;
	}
	for (const struct test *test = tests; test; test = test->next)
		if (argc < 3 || !strcmp(argv[2], test->name))
			failures += !passed(test);
	return failures != 0;
}
