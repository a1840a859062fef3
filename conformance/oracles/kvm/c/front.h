/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Included before every kernel unit of the kvm oracle, after the kernel's own first three headers: what
 * only a kernel image or ring 0 can do gets a meaning in a process, and complaints become observations.
 */
#ifndef CONFORMANCE_KVM_FRONT_H
#define CONFORMANCE_KVM_FRONT_H

/* A static call is a call through a variable, as on architectures that do not patch their code. */
#undef CONFIG_HAVE_STATIC_CALL
#undef CONFIG_HAVE_STATIC_CALL_INLINE
#define static_call_mod(name)	static_call(name)
/* So that the architecture is asked to flush ranges, see vendor.c; with Hyper-V it says so itself. */
#define __KVM_HAVE_ARCH_FLUSH_REMOTE_TLBS_RANGE
/* What is exported is decided by the linker's version script, not by the kernel's symbol tables. */
#define __DISABLE_EXPORTS

/*
 * There are no interrupts to be kept out, no model-specific registers beyond what env_rdmsr() knows, and time
 * stands still.
 */
__asm__(".macro cli\n .endm\n"
	".macro rdtsc\n movl $0, %eax\n movl $1, %edx\n .endm\n"
	".macro sti\n .endm\n"
	".macro rdmsr\n call env_rdmsr\n .endm\n"
	".macro wrmsr\n .endm\n");

#pragma GCC visibility push(hidden)

#include <linux/types.h>
#include <linux/compiler.h>
#include "traced.h"

/* In a race, atomic accesses are told of as plain ones are, by the hooks that the kernel has for its own checker. */
#ifdef CONFORMANCE_RACING
#include <linux/kcsan-checks.h>
extern void env_race_access(const volatile void *address, size_t size, int type);
#undef kcsan_check_access
#define kcsan_check_access	env_race_access
/* Who spins for somebody else to do something lets him. */
#include <asm/vdso/processor.h>
extern void env_race_relax(void);
#define cpu_relax()		env_race_relax()
#endif

/* sort.c knows neither CPUs nor locks, and has a name of its own for what their headers would define. */
#ifndef CONFORMANCE_NO_LOCKS
/* The form that the compiler may read once and keep names its variable by an absolute address. */
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

/* All that lockdep.h asserts goes through these two. */
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
#endif

#endif
