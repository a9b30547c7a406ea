// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sockets of a wire.
 */
#include "wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "link.h"
#include "socket.h"

#define SOCKET_TYPE (SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC)
/* The next peer may already be there while the last one is going. */
#define BACKLOG 1

/*
 * A socket that a dead process left behind. Asked with another socket type, so that a live
 * listener does not take the question for a peer.
 */
static bool name_is_stale(const struct sockaddr_un *address)
{
	int probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct stat stat;
	bool stale;

	if (probe < 0)
		return false;
	stale = !lstat(address->sun_path, &stat) && S_ISSOCK(stat.st_mode) &&
		connect(probe, (const struct sockaddr *)address, sizeof(*address)) &&
		errno == ECONNREFUSED;
	close(probe);
	return stale;
}

static int name_bind(int fd, const struct sockaddr_un *address)
{
	const struct sockaddr *any = (const struct sockaddr *)address;

	/* The file gets the mode of the socket: nobody else can connect in between. */
	if (fchmod(fd, 0600))
		return -errno;
	if (!bind(fd, any, sizeof(*address)))
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	if (!name_is_stale(address))
		return -EADDRINUSE;
	unlink(address->sun_path);
	return bind(fd, any, sizeof(*address)) ? -errno : 0;
}

static int name_remember(struct wire_name *name, const char *path)
{
	struct stat stat;

	if (lstat(path, &stat))
		return -errno;
	name->path = strdup(path);
	if (!name->path)
		return -ENOMEM;
	name->dev = stat.st_dev;
	name->ino = stat.st_ino;
	return 0;
}

void wire_name_remove(struct wire_name *name)
{
	struct stat stat;

	if (!name->path)
		return;
	if (!lstat(name->path, &stat) && stat.st_dev == name->dev && stat.st_ino == name->ino)
		unlink(name->path);
	free(name->path);
	name->path = NULL;
}

int wire_socket_listen(const char *path, struct wire_name *name)
{
	struct sockaddr_un address;
	int err = link_socket_unix_address(&address, path);
	int fd;

	if (err)
		return err;
	fd = socket(AF_UNIX, SOCKET_TYPE, 0);
	if (fd < 0)
		return -errno;
	err = name_bind(fd, &address);
	if (err)
		goto fail;
	err = name_remember(name, path);
	if (err)
		goto remove;
	if (!listen(fd, BACKLOG))
		return fd;
	err = -errno;
	wire_name_remove(name);
	goto fail;
remove:
	unlink(path);
fail:
	close(fd);
	return err;
}

int wire_socket_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return -errno;
	link_socket_buffers(fd);
	return fd;
}

int wire_socket_dead(void)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCKET_TYPE, 0, fds))
		return -errno;
	close(fds[1]);
	return fds[0];
}

int wire_socket_check(int fd)
{
	int family, type;
	int err = link_socket_kind(fd, &family, &type);

	if (err)
		return err;
	if (family != AF_UNIX || (type != SOCK_SEQPACKET && type != SOCK_DGRAM))
		return -EPROTOTYPE;
	return link_socket_connected(fd);
}
