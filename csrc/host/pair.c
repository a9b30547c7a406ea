// SPDX-License-Identifier: GPL-2.0-only
/*
 * The socketpair behind a shadow. Bare system calls: no cancellation points.
 */
#include "pair.h"

#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* More than the smallest send buffer takes. */
#define FILL_BYTES 8192

static const char fill[FILL_BYTES];

static long pair_send(int fd, size_t bytes)
{
	return syscall(SYS_sendto, fd, fill, bytes, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
}

static long pair_recv(int fd, char *buf, size_t bytes)
{
	return syscall(SYS_recvfrom, fd, buf, bytes, MSG_DONTWAIT, NULL, NULL);
}

static void ends_close(const int ends[2])
{
	syscall(SYS_close, ends[0]);
	syscall(SYS_close, ends[1]);
}

int host_pair_open(struct host_pair *pair)
{
	const int smallest = 1;	/* the host rounds it up */
	struct stat stat;
	int ends[2], err;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -errno;
	if (fstat(ends[0], &stat) ||
	    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &smallest, sizeof(smallest))) {
		err = -errno;
		ends_close(ends);
		return err;
	}
	pair->program = ends[0];
	pair->ours = ends[1];
	pair->dev = stat.st_dev;
	pair->ino = stat.st_ino;
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

static bool program_end_is_there(const struct host_pair *pair)
{
	struct stat stat;

	return !fstat(pair->program, &stat) && stat.st_ino == pair->ino &&
	       stat.st_dev == pair->dev && S_ISSOCK(stat.st_mode);
}

void host_pair_show_readable(struct host_pair *pair)
{
	pair_send(pair->ours, 1);
}

void host_pair_show_writable(struct host_pair *pair)
{
	char buf[FILL_BYTES];

	while (pair_recv(pair->ours, buf, sizeof(buf)) == (long)sizeof(buf))
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
	pair_recv(pair->program, buf, sizeof(buf));
	return true;
}

bool host_pair_hide_writable(struct host_pair *pair)
{
	if (!program_end_is_there(pair))
		return false;
	/* A short count means full. */
	while (pair_send(pair->program, sizeof(fill)) == (long)sizeof(fill))
		;
	return true;
}
