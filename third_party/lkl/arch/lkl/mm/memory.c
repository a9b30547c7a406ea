// SPDX-License-Identifier: GPL-2.0-only
/* Memory: one range from the host, page frames counted from its start; and when it runs low. */
#include <linux/init.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/rcupdate.h>
#include <linux/vmstat.h>
#include <asm/setup.h>

#include "../kernel/lkl.h"

unsigned long lkl_memory_start, lkl_memory_end;
void *empty_zero_page;

void __init lkl_memory_init(void)
{
	unsigned long max_zone_pfn[MAX_NR_ZONES] = { };
	unsigned long size = lkl_memory_end - lkl_memory_start;

	min_low_pfn = 0;
	max_low_pfn = max_pfn = PFN_DOWN(size);
	high_memory = (void *)lkl_memory_end;
	memblock_add(0, size);
	empty_zero_page = memblock_alloc(PAGE_SIZE, PAGE_SIZE);
	if (!empty_zero_page)
		panic("%lu bytes of memory are too few", size);
	max_zone_pfn[ZONE_NORMAL] = max_low_pfn;
	free_area_init(max_zone_pfn);
}

void __init mem_init(void)
{
	max_mapnr = max_low_pfn - min_low_pfn;
	memblock_free_all();
}

unsigned long lkl_memory_free_pages(void)
{
	return global_zone_page_state(NR_FREE_PAGES);
}

static bool pages_low(void)
{
	struct zone *zone = &contig_page_data.node_zones[ZONE_NORMAL];

	return lkl_memory_free_pages() < 2 * high_wmark_pages(zone);
}

/*
 * Less than twice of what the kernel keeps for allocations that may not sleep. What has been freed but waits for
 * RCU counts as free, so that a program which closes its sockets can open others at once. May sleep.
 */
bool lkl_memory_low(void)
{
	if (likely(!pages_low()))
		return false;
	rcu_barrier();
	return pages_low();
}

/* The kernel's image is the host's shared library: no memory of ours comes back from it. */
void free_initmem(void)
{
}
