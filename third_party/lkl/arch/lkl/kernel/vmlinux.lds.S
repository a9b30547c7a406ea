/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Adds to the linker's own layout of a shared object what the kernel needs
 * start and end symbols for. .text, .data and .bss stay the linker's, and with them the host half's TLS,
 * constructors and unwind tables.
 */
#define RO_AFTER_INIT_DATA
#define RUNTIME_DISCARD_EXIT
#include <asm/vmlinux.lds.h>
#include <asm/cache.h>
#include <asm/page.h>
#include <asm/thread_info.h>

jiffies = jiffies_64;
_text = ADDR(.text);
_stext = ADDR(.text);
_etext = ADDR(.text) + SIZEOF(.text);
_sdata = ADDR(.data);
__start_rodata = ADDR(.rodata);
__end_rodata = ADDR(.rodata) + SIZEOF(.rodata);
__bss_stop = ADDR(.bss) + SIZEOF(.bss);

SECTIONS
{
	.lkl.text : ALIGN(64) {
		_sinittext = .;
		INIT_TEXT
		_einittext = .;
		SCHED_TEXT
		LOCK_TEXT
		ENTRY_TEXT
		IRQENTRY_TEXT
		SOFTIRQENTRY_TEXT
		NOINSTR_TEXT
		*(.ref.text)
		EXIT_TEXT
	}
}
INSERT AFTER .text;

SECTIONS
{
	.lkl.data : ALIGN(PAGE_SIZE) {
		INIT_TASK_DATA(THREAD_SIZE)
		__init_begin = .;
		*(.init.data .init.data.*)
		/* Not EXIT_DATA: it would take the host half's .fini_array too. */
		*(.exit.data .exit.data.*)
		*(.init.rodata .init.rodata.*)
		INIT_SETUP(16)
		INIT_CALLS
		CON_INITCALL
		KUNIT_TABLE()
		KUNIT_INIT_TABLE()
		INIT_RAM_FS
		__init_end = .;
		. = ALIGN(8);
		BOUNDED_SECTION_BY(__param, ___param)
		. = ALIGN(8);
		BOUNDED_SECTION_BY(__modver, ___modver)
		. = ALIGN(8);
		BOUNDED_SECTION_BY(__ex_table, ___ex_table)
		. = ALIGN(8);
		BOUNDED_SECTION_BY(.printk_index, _printk_index)
		. = ALIGN(8);
		BOUNDED_SECTION_BY(__bug_table, ___bug_table)
		. = ALIGN(8);
		__start_notes = .;
		__stop_notes = .;
		SCHED_DATA
		. = ALIGN(8);
		__start_ro_after_init = .;
		*(.data..ro_after_init)
		JUMP_TABLE_DATA
		STATIC_CALL_DATA
		__end_ro_after_init = .;
		. = ALIGN(L1_CACHE_BYTES);
		__per_cpu_load = .;
		__per_cpu_start = .;
		*(.data..percpu..first)
		*(.data..percpu..page_aligned)
		*(.data..percpu..read_mostly)
		*(.data..percpu)
		*(.data..percpu..shared_aligned)
		__per_cpu_end = .;
		. = ALIGN(8);
		/* Of the lockdep build, which brings event tracing along. */
		TRACE_PRINTKS()
		TRACEPOINT_STR()
		FTRACE_EVENTS()
		TRACE_SYSCALLS()
		. = ALIGN(8);
		__start_once = .;
		*(.data.once)
		__end_once = .;
	}
}
INSERT AFTER .data;

SECTIONS
{
	/DISCARD/ : {
		*(.modinfo)
		*(.discard)
		*(.discard.*)
		*(.export_symbol)
		*(.exitcall.exit)
		*(.no_trim_symbol)
	}
}
INSERT AFTER .lkl.data;
