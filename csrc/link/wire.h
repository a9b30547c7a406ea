/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The sockets of a wire: making, naming, accepting.
 */
#ifndef LINK_WIRE_H
#define LINK_WIRE_H

#include <sys/types.h>

/* A listening socket's name in the file system. */
struct wire_name {
	char *path;
	dev_t dev;
	ino_t ino;
};

/*
 * Descriptors are non-blocking, close-on-exec, with room for many frames. Return: descriptor or
 * -errno.
 */
int wire_socket_listen(const char *path, struct wire_name *name);
int wire_socket_accept(int listener);
/* A socket whose peer has gone. Return: descriptor or -errno. */
int wire_socket_dead(void);
/* One handed in. Return: 0 or -errno: it is none for a wire. */
int wire_socket_check(int fd);

/* Removes the name, unless somebody else has it by now. */
void wire_name_remove(struct wire_name *name);

#endif
