/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LKL_PAGE_H
#define _ASM_LKL_PAGE_H

#include <linux/const.h>

#define PAGE_SHIFT	CONFIG_PAGE_SHIFT
#define PAGE_SIZE	(_AC(1, UL) << PAGE_SHIFT)
#define PAGE_MASK	(~(PAGE_SIZE - 1))

#ifndef __ASSEMBLY__

typedef struct { unsigned long pte; } pte_t;
typedef struct { unsigned long pmd; } pmd_t;
typedef struct { unsigned long pgd; } pgd_t;
typedef struct { unsigned long pgprot; } pgprot_t;
typedef struct page *pgtable_t;

#define pte_val(x)	((x).pte)
#define pmd_val(x)	((x).pmd)
#define pgd_val(x)	((x).pgd)
#define pgprot_val(x)	((x).pgprot)

#define __pte(x)	((pte_t) { (x) })
#define __pmd(x)	((pmd_t) { (x) })
#define __pgd(x)	((pgd_t) { (x) })
#define __pgprot(x)	((pgprot_t) { (x) })

#define clear_page(page)		memset((page), 0, PAGE_SIZE)
#define copy_page(to, from)		memcpy((to), (from), PAGE_SIZE)
#define clear_user_page(page, addr, pg)		clear_page(page)
#define copy_user_page(to, from, addr, pg)	copy_page(to, from)

/*
 * The memory the host gave us. Physical addresses count from its start: with
 * host addresses as physical ones, memmap_init() would walk the "hole" of some 2^35 page frames below it.
 */
extern unsigned long lkl_memory_start, lkl_memory_end;

#define PAGE_OFFSET		lkl_memory_start
#define __pa(addr)		((unsigned long)(addr) - lkl_memory_start)
#define __va(phys)		((void *)((unsigned long)(phys) + lkl_memory_start))
#define virt_to_pfn(addr)	(__pa(addr) >> PAGE_SHIFT)
#define pfn_to_virt(pfn)	__va((pfn) << PAGE_SHIFT)
#define page_to_phys(page)	((phys_addr_t)page_to_pfn(page) << PAGE_SHIFT)
#define phys_to_page(phys)	pfn_to_page((phys) >> PAGE_SHIFT)
#define virt_to_page(addr)	pfn_to_page(virt_to_pfn(addr))
#define page_to_virt(page)	pfn_to_virt(page_to_pfn(page))
#define virt_addr_valid(addr)					\
	((unsigned long)(addr) >= lkl_memory_start &&		\
	 (unsigned long)(addr) < lkl_memory_end)

#include <asm-generic/memory_model.h>
#include <asm-generic/getorder.h>

#endif
#endif
