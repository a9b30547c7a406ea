// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory that a kernel lives in.
 */
#include <errno.h>
#include <sys/mman.h>

#include "host.h"

int host_memory_map(size_t bytes, void **out)
{
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED)
		return -errno;
	/* A huge page would back 2 MB for every 4 kB touched at boot. */
	madvise(mem, bytes, MADV_NOHUGEPAGE);
	*out = mem;
	return 0;
}

void host_memory_unmap(void *mem, size_t bytes)
{
	munmap(mem, bytes);
}
