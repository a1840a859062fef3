/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Included before every kernel unit, after the kernel's own first three headers.  What the kernel
 * would print or die of becomes an observation, and what only a kernel image can resolve gets a
 * meaning in a shared library.  Nothing that a property looks at is decided here.
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

/* Hidden symbols throughout, else the compiler refuses the asm constraints of _static_cpu_has(). */
#pragma GCC visibility push(hidden)

#include <linux/types.h>
#include <linux/compiler.h>
#include <asm/cpufeature.h>

/* The same answer, read from memory: alternatives are patched at boot, and this never boots. */
#undef static_cpu_has
#define static_cpu_has(bit)	boot_cpu_has(bit)

#ifdef CONFORMANCE_TRACED
/* Part of the kernel's "inline"; here all functions are to tell that they run. */
#undef notrace
#define notrace
#endif

extern void shim_access(const volatile void *address, int atomic);
extern void shim_stored(const volatile void *address);

/* A marked plain store is announced like an atomic one, and is otherwise what it was. */
#undef __WRITE_ONCE
#define __WRITE_ONCE(x, val)						\
do {									\
	shim_access(&(x), 0);						\
	*(volatile typeof(x) *)&(x) = (val);				\
	shim_stored(&(x));						\
} while (0)

#include <linux/bug.h>
#include <linux/mmdebug.h>

extern void shim_warn(const char *function);
extern void __noreturn shim_bug(const char *function);

#undef WARN
#undef WARN_ON
#undef WARN_ONCE
#undef WARN_ON_ONCE
#undef BUG
#undef BUG_ON

/* Each time, not once: whether the kernel complains must not depend on what it was asked before. */
#define WARN_ON(condition)						\
({									\
	int __warned = !!(condition);					\
	if (unlikely(__warned))						\
		shim_warn(__func__);					\
	unlikely(__warned);						\
})
#define WARN_ON_ONCE(condition)		WARN_ON(condition)
#define WARN(condition, format...)					\
({									\
	if (0)								\
		no_printk(format);					\
	WARN_ON(condition);						\
})
#define WARN_ONCE(condition, format...)	WARN(condition, format)
#define BUG()				shim_bug(__func__)
#define BUG_ON(condition)						\
do {									\
	if (unlikely(condition))					\
		BUG();							\
} while (0)

#endif
