/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Included before every kernel unit of the kvm oracle, after the kernel's own first three headers.  It replaces what
 * needs a kernel image or ring 0, and turns WARNs, BUGs and lockdep assertions into observations.
 */
#ifndef CONFORMANCE_KVM_FRONT_H
#define CONFORMANCE_KVM_FRONT_H

/* A static call is a call through a variable, as on architectures that do not patch code. */
#undef CONFIG_HAVE_STATIC_CALL
#undef CONFIG_HAVE_STATIC_CALL_INLINE
#define static_call_mod(name)	static_call(name)
/* Flushes by range go to the architecture, see vendor.c; with Hyper-V, its headers define this. */
#define __KVM_HAVE_ARCH_FLUSH_REMOTE_TLBS_RANGE
/* The linker's version script decides what is exported, not EXPORT_SYMBOL(). */
#define __DISABLE_EXPORTS

/* There are no interrupts, no model-specific registers but those of env_rdmsr(), and time stands still. */
__asm__(".macro cli\n .endm\n"
	".macro rdtsc\n movl $0, %eax\n movl $1, %edx\n .endm\n"
	".macro sti\n .endm\n"
	".macro rdmsr\n call env_rdmsr\n .endm\n"
	".macro wrmsr\n .endm\n");

#pragma GCC visibility push(hidden)

#include <linux/types.h>
#include <linux/compiler.h>

/* In a race, atomic accesses are reported as plain ones are, by the hooks for KCSAN. */
#ifdef CONFORMANCE_RACING
#include <linux/kcsan-checks.h>
extern void env_race_access(const volatile void *address, size_t size, int type);
#undef kcsan_check_access
#define kcsan_check_access	env_race_access
/* A spin loop lets other threads run. */
#include <asm/vdso/processor.h>
extern void env_race_relax(void);
#define cpu_relax()		env_race_relax()
#endif

/* sort.c uses neither CPUs nor locks, and has macros of its own that clash with their headers. */
#ifndef CONFORMANCE_NO_LOCKS
/* The stable form addresses the variable absolutely, which does not link in a shared library. */
#include <asm/percpu.h>
#undef this_cpu_read_stable
#define this_cpu_read_stable(variable)	this_cpu_read(variable)
#endif

extern void env_complain(const char *kind, const char *what);
extern void __noreturn env_bug(const char *function);

#define COMPLAIN_WARN(function)		env_complain("WARN", function)
#define COMPLAIN_BUG(function)		env_bug(function)
#include "complaints.h"

#ifndef CONFORMANCE_NO_LOCKS
#include <linux/lockdep.h>

/* All assertions of lockdep.h expand to these two. */
#undef lockdep_assert
#undef lockdep_assert_once
#define lockdep_assert(condition)					\
do {									\
	if (unlikely(!(condition)))					\
		env_complain("LOCKDEP", __func__);			\
} while (0)
#define lockdep_assert_once(condition)	lockdep_assert(condition)

#include <linux/rcupdate.h>
#undef RCU_LOCKDEP_WARN
#define RCU_LOCKDEP_WARN(condition, complaint)				\
do {									\
	if (unlikely(condition))					\
		env_complain("LOCKDEP", __func__);			\
} while (0)

/* User memory is no memory of the process: host/user_access.c. */
#include <linux/uaccess.h>

/* Both: how many bytes were not copied. */
extern unsigned long env_copy_from_user(void *to, const void __user *from, unsigned long n);
extern unsigned long env_copy_to_user(void __user *to, const void *from, unsigned long n);
/* 0; or 1, and `old` is what was found; or -EFAULT. */
extern int env_try_cmpxchg_user(void __user *at, void *old, u64 new, unsigned long size);
/* Where the word at a user address is in this process, about to be changed in place; NULL if it cannot be. */
extern void *env_user_word(void __user *at);

#undef get_user
#undef __get_user
#undef put_user
#undef __put_user
#undef __try_cmpxchg_user
#define get_user(x, from)						\
({									\
	u64 value_ = 0;							\
	int error_ = env_copy_from_user(&value_, from, sizeof(*(from))) ? -EFAULT : 0;	\
									\
	(x) = (__force __typeof__(*(from)))value_;			\
	error_;								\
})
#define put_user(x, to)							\
({									\
	__typeof__(*(to)) value_ = (x);					\
									\
	env_copy_to_user(to, &value_, sizeof(value_)) ? -EFAULT : 0;	\
})
#define __get_user(x, from)		get_user(x, from)
#define __put_user(x, to)		put_user(x, to)
#define copy_from_user(to, from, n)	env_copy_from_user(to, from, n)
#define copy_to_user(to, from, n)	env_copy_to_user(to, from, n)
#define __copy_from_user(to, from, n)	env_copy_from_user(to, from, n)
#define __copy_to_user(to, from, n)	env_copy_to_user(to, from, n)
#define __copy_from_user_inatomic(to, from, n)	env_copy_from_user(to, from, n)
#undef user_access_begin
#undef user_access_end
#define user_access_begin(at, size)	(((at) = (void __user *)env_user_word(at)) != NULL)
#define user_access_end()		do { } while (0)
#define __try_cmpxchg_user(at, old, new, label)	env_try_cmpxchg_user(at, old, (u64)(new), sizeof(*(at)))

/* Debug registers are not there; some kernels clear one when a vCPU is put. */
#include <linux/sched.h>
#include <asm/debugreg.h>
#undef set_debugreg
#define set_debugreg(value, register)	((void)(value))
#endif

#endif
