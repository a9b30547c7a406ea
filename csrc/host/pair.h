/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A socketpair whose one end, the program's, is polled like a socket: the
 * other end, ours, makes it look readable, writable, or hung up.
 *
 *	readable	a byte of ours lies in it
 *	urgent data	a byte sent with MSG_OOB does; readable then, too
 *	not writable	its send buffer is full
 *	end of file	we shut our sending down
 *	hang-up		we shut everything down
 *
 * What is shown is made from our end; what is taken back is taken back through the program's
 * number, which may be closed, and even a stranger's, by then: it is compared with the inode
 * before it is touched. Our end has a high number: the low ones, which select(2) can take, are the
 * program's.
 *
 * Nothing here blocks, whatever O_NONBLOCK says, which is for the program to set. Calls on one pair do not run at the same time (see the lock of
 * core/shadow.c).
 */
#ifndef HOST_PAIR_H
#define HOST_PAIR_H

#include <stdbool.h>
#include <sys/types.h>

struct host_pair {
	int program; /* the program's end: its to close */
	int ours;    /* -1 when closed */
	dev_t dev;   /* of the program's end */
	ino_t ino;
};

/* Starts as not readable, writable. Return: 0 or -errno. */
int host_pair_open(struct host_pair *pair);
/* dev and ino of the socket behind this number. Return: false if there is none. */
bool host_pair_identify(int fd, struct host_pair *id);
/* Whether both are the same program's end, or copies of it. */
bool host_pair_same(const struct host_pair *pair, const struct host_pair *id);
/* Closes our end: the program's is hung up, with an error if something was in flight to us. */
void host_pair_close(struct host_pair *pair);
/* Closes both ends, which nobody has seen yet. */
void host_pair_discard(struct host_pair *pair);

void host_pair_show_readable(struct host_pair *pair);
/* Does nothing on a host whose AF_UNIX has no MSG_OOB. */
void host_pair_show_urgent(struct host_pair *pair);
void host_pair_show_writable(struct host_pair *pair);
void host_pair_show_end(struct host_pair *pair);
void host_pair_show_hang_up(struct host_pair *pair);

/* Return: false if the program's end is no longer there. */
bool host_pair_hide_readable(struct host_pair *pair);
/* With what makes it readable. */
bool host_pair_hide_urgent(struct host_pair *pair);
bool host_pair_hide_writable(struct host_pair *pair);

#endif
