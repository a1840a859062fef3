/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the entries need besides the declarations that BTF gives: words of the language, and constants
 * of the x86 architecture and of KVM's interface, which no layout tells and no kernel may change.
 */
#ifndef FRONT_H
#define FRONT_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned long size_t;
typedef _Bool bool;
#define true		1
#define false		0
#define NULL		((void *)0)
#define __noreturn	__attribute__((noreturn))

#include "declarations.h"

/* What stands in for variables of the kernel's; answers.h. */
extern struct cpuinfo_x86 boot_cpu_data;
extern unsigned long page_offset_base, vmemmap_base;
extern int shim_index_unchecked;
/* Where %gs points; environment.c. */
extern u8 shim_percpu[4096];

#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define BIT_ULL(n)		(1ULL << (n))
#define GENMASK_ULL(high, low)	((~0ULL << (low)) & (~0ULL >> (63 - (high))))
#define EPERM			1

#define PAGE_SHIFT		12
#define PAGE_SIZE		4096UL
#define PG_LEVEL_4K		1
#define PT64_ROOT_4LEVEL	4
#define PT64_ROOT_MAX_LEVEL	5
#define __va(physical)		((void *)(page_offset_base + (physical)))

/* Page tables. */
#define PT_PRESENT_MASK		BIT_ULL(0)
#define PT_WRITABLE_MASK	BIT_ULL(1)
#define PT_USER_MASK		BIT_ULL(2)
#define PT_ACCESSED_MASK	BIT_ULL(5)
#define PT_DIRTY_MASK		BIT_ULL(6)
#define PT_PAGE_SIZE_MASK	BIT_ULL(7)
#define PT64_NX_MASK		BIT_ULL(63)

/* Extended page tables. */
#define VMX_EPT_READABLE_MASK	1ULL
#define VMX_EPT_EXECUTABLE_MASK	4ULL
#define VMX_EPT_RWX_MASK	7ULL
#define VMX_EPT_ACCESS_BIT	BIT_ULL(8)
#define VMX_EPT_DIRTY_BIT	BIT_ULL(9)
#define VMX_EPT_MISCONFIG_WX_VALUE	6ULL

#define KVM_MEM_LOG_DIRTY_PAGES	1

/* Let by run where the module calls function; none where function is NULL.  Slots 1 and 2 need slot 0. */
struct shim_patch {
	void *at, *by;
};
void shim_patch(int slot, void *function, void *by);

/* core.c */
void shim_warn(const char *function);
void __noreturn shim_bug(const char *function);

/* Which bit of the processor's bugs is L1TF: no type tells; found by trying, see build.py. */
extern u32 shim_l1tf_bit;
#define X86_BUG_L1TF		shim_l1tf_bit

/* What the kernel does but once it notes here; the places are the linker's. */
extern u64 shim_once[];
extern u64 shim_once_end[];
#define SHIM_FRESH()						\
do {								\
	u64 *__word;						\
								\
	for (__word = shim_once; __word < shim_once_end; __word++)	\
		*__word = 0;					\
} while (0)

#endif
