// SPDX-License-Identifier: GPL-2.0-only
/*
 * Images of one shared library.
 *
 * The dynamic linker tells objects apart first by the name they were opened
 * by, then by device and inode. A copy therefore needs an inode of its own,
 * that of a memfd or of an unlinked temporary file, and a name that no loaded
 * object has. Both are opened as /proc/self/fd/N, and the descriptor is closed
 * right after: the mapping keeps the file, and a program that closes every
 * descriptor (a daemon) does no harm. The number N is then free for the next
 * copy, whose name would mean the old one; so the name is padded with "/."
 * until the dynamic linker does not know it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "image.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

#define OPEN_FLAGS (RTLD_NOW | RTLD_LOCAL)

static bool is_loaded(const char *name)
{
	void *handle = dlopen(name, OPEN_FLAGS | RTLD_NOLOAD);

	if (handle)
		dlclose(handle);
	return handle;
}

static int load(const char *name, void **handle, char *why, size_t why_size)
{
	*handle = dlopen(name, OPEN_FLAGS);
	if (*handle)
		return 0;
	snprintf(why, why_size, "%s", dlerror());
	return -ELIBBAD;
}

static int memfd_open(void)
{
	const char *barred = getenv(IMAGE_NO_MEMFD);
	int fd;

	if (barred && strcmp(barred, "1") == 0) {
		errno = EACCES;
		return -1;
	}
	fd = memfd_create("liblkl", MFD_CLOEXEC | MFD_EXEC);
	/* Linux before 6.3 does not know MFD_EXEC, and makes every memfd executable. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("liblkl", MFD_CLOEXEC);
	return fd;
}

static int temporary_open(const char *directory, int directory_len)
{
	char path[PATH_MAX];
	int fd;

	if (snprintf(path, sizeof(path), "%.*s/.liblkl-XXXXXX", directory_len, directory) >=
	    (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

/* An empty file: in memory, in the temporary directory, or beside the library. Return: fd, or -1 and errno. */
static int place_open(int place, const char *library)
{
	const char *directory;

	switch (place) {
	case 0:
		return memfd_open();
	case 1:
		directory = getenv("TMPDIR");
		if (!directory || !*directory)
			directory = "/tmp";
		return temporary_open(directory, (int)strlen(directory));
	default:
		return temporary_open(library, (int)(strrchr(library, '/') - library));
	}
}

#define PLACES 3

static int fill(int fd, int from)
{
	struct stat st;
	off_t at = 0;

	if (fstat(from, &st) < 0)
		return -errno;
	while (at < st.st_size) {
		ssize_t n = sendfile(fd, from, &at, (size_t)(st.st_size - at));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EIO;
	}
	return 0;
}

/* A file system mounted noexec and some security modules refuse this map, as they would dlopen's. */
static int check_executable(int fd)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *map = mmap(NULL, size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);

	if (map == MAP_FAILED)
		return -errno;
	munmap(map, size);
	return 0;
}

/* A copy of the library that can be executed. Return: fd or -errno. */
static int copy(const char *library)
{
	int from = open(library, O_RDONLY | O_CLOEXEC);
	int rc = -EACCES;

	if (from < 0)
		return -errno;
	for (int place = 0; place < PLACES; place++) {
		int fd = place_open(place, library);

		if (fd < 0) {
			rc = -errno;
			continue;
		}
		rc = fill(fd, from);
		if (!rc)
			rc = check_executable(fd);
		if (!rc) {
			close(from);
			return fd;
		}
		close(fd);
	}
	close(from);
	return rc;
}

/* The first of /proc/self/fd/N, /proc/self/./fd/N, /proc/self/././fd/N ... that names no loaded object. */
static int unused_name(int fd, char *name, size_t size)
{
	char padding[PATH_MAX] = "";

	for (size_t len = 0; len < sizeof(padding) - 2; len += 2) {
		if (snprintf(name, size, "/proc/self%s/fd/%d", padding, fd) >= (int)size)
			break;
		if (!is_loaded(name))
			return 0;
		memcpy(padding + len, "/.", 3);
	}
	return -ENFILE;
}

static int load_copy(const char *library, void **handle, char *why, size_t why_size)
{
	char name[PATH_MAX];
	int fd = copy(library);
	int rc;

	if (fd < 0) {
		snprintf(why, why_size,
			 "no copy of %s can be made and executed: set TMPDIR to a directory with "
			 "room on a file system that is not mounted noexec",
			 library);
		return fd;
	}
	rc = unused_name(fd, name, sizeof(name));
	if (!rc)
		rc = load(name, handle, why, why_size);
	close(fd);
	return rc;
}

int image_open(const char *library, void **handle, char *why, size_t why_size)
{
	why[0] = '\0';
	if (is_loaded(library))
		return load_copy(library, handle, why, why_size);
	return load(library, handle, why, why_size);
}
