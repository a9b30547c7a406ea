// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading and writing files inside the kernel.
 */
#include "file.h"

#include <fcntl.h>

#include "syscall.h"

/* O_NONBLOCK: some files have news only (kmsg), and nobody may sleep for it in the kernel. */
#define FLAGS (O_CLOEXEC | O_NONBLOCK)

static long open_file(const char *path, int access)
{
	return syscall_do(LKL_NR_openat, AT_FDCWD, (long)path, access | FLAGS, 0);
}

long file_read(const char *path, void *buf, size_t size)
{
	long fd = open_file(path, O_RDONLY);
	size_t done = 0;
	long ret;

	if (fd < 0)
		return fd;
	do {
		ret = syscall_do(LKL_NR_read, fd, (long)((char *)buf + done), (long)(size - done));
		if (ret > 0)
			done += (size_t)ret;
	} while (ret > 0 && done < size);
	syscall_do(LKL_NR_close, fd);
	return done ? (long)done : ret;
}

long file_write(const char *path, const void *buf, size_t size)
{
	long fd = open_file(path, O_WRONLY);
	long ret;

	if (fd < 0)
		return fd;
	ret = syscall_do(LKL_NR_write, fd, (long)buf, (long)size);
	syscall_do(LKL_NR_close, fd);
	return ret;
}
