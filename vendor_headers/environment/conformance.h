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

extern void shim_warn(const char *function);
extern void __noreturn shim_bug(const char *function);

#define COMPLAIN_WARN(function)		shim_warn(function)
#define COMPLAIN_BUG(function)		shim_bug(function)
#include "complaints.h"

#endif
