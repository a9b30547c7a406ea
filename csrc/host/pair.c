// SPDX-License-Identifier: GPL-2.0-only
/*
 * The socketpair behind a shadow. Bare system calls: no cancellation points.
 */
#include "pair.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* More than the smallest send buffer takes. */
#define FILL_BYTES 8192

static const char fill[FILL_BYTES];

static long pair_send(int fd, size_t bytes, int flags)
{
	return syscall(SYS_sendto, fd, fill, bytes, flags | MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
}

static long pair_recv(int fd, char *buf, size_t bytes, int flags)
{
	return syscall(SYS_recvfrom, fd, buf, bytes, flags | MSG_DONTWAIT, NULL, NULL);
}

static void ends_close(const int ends[2])
{
	syscall(SYS_close, ends[0]);
	syscall(SYS_close, ends[1]);
}

/* Return: the same file at a number that select(2) cannot take, or fd where the limit forbids it. */
static int number_high(int fd)
{
	long high = syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, FD_SETSIZE);

	if (high < 0)
		return fd;
	syscall(SYS_close, fd);
	return (int)high;
}

int host_pair_open(struct host_pair *pair)
{
	const int smallest = 1; /* the host rounds it up */
	int ends[2], err;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -errno;
	if (!host_pair_identify(ends[0], pair) ||
	    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &smallest, sizeof(smallest))) {
		err = -errno;
		ends_close(ends);
		return err;
	}
	pair->ours = number_high(ends[1]);
	return 0;
}

void host_pair_close(struct host_pair *pair)
{
	int ours = pair->ours;

	if (ours < 0)
		return;
	pair->ours = -1;
	syscall(SYS_close, ours);
}

void host_pair_discard(struct host_pair *pair)
{
	host_pair_close(pair);
	syscall(SYS_close, pair->program);
}

bool host_pair_identify(int fd, struct host_pair *id)
{
	struct stat stat;

	if (fstat(fd, &stat) || !S_ISSOCK(stat.st_mode))
		return false;
	*id = (struct host_pair){
		.program = fd, .ours = -1, .dev = stat.st_dev, .ino = stat.st_ino
	};
	return true;
}

bool host_pair_same(const struct host_pair *pair, const struct host_pair *id)
{
	return pair->ino == id->ino && pair->dev == id->dev;
}

static bool program_end_is_there(const struct host_pair *pair)
{
	struct host_pair there;

	return host_pair_identify(pair->program, &there) && host_pair_same(pair, &there);
}

void host_pair_show_readable(struct host_pair *pair)
{
	pair_send(pair->ours, 1, 0);
}

void host_pair_show_urgent(struct host_pair *pair)
{
	pair_send(pair->ours, 1, MSG_OOB);
}

void host_pair_show_writable(struct host_pair *pair)
{
	char buf[FILL_BYTES];

	while (pair_recv(pair->ours, buf, sizeof(buf), 0) == (long)sizeof(buf))
		;
}

void host_pair_show_end(struct host_pair *pair)
{
	shutdown(pair->ours, SHUT_WR);
}

void host_pair_show_hang_up(struct host_pair *pair)
{
	shutdown(pair->ours, SHUT_RDWR);
}

bool host_pair_hide_readable(struct host_pair *pair)
{
	char buf[16];

	if (!program_end_is_there(pair))
		return false;
	pair_recv(pair->program, buf, sizeof(buf), 0);
	return true;
}

bool host_pair_hide_urgent(struct host_pair *pair)
{
	char byte;

	if (!program_end_is_there(pair))
		return false;
	pair_recv(pair->program, &byte, 1, MSG_OOB);
	/* Its place in the stream stays, and is readable. */
	while (pair_recv(pair->program, &byte, 1, 0) > 0)
		;
	return true;
}

bool host_pair_hide_writable(struct host_pair *pair)
{
	if (!program_end_is_there(pair))
		return false;
	/* A short count means full. */
	while (pair_send(pair->program, sizeof(fill), 0) == (long)sizeof(fill))
		;
	return true;
}
