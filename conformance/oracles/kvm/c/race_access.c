// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the compiler (-fsanitize=thread) and linux/instrumented.h call before each access of KVM's to memory: a
 * point, if others may see the memory.
 */
#include "racing.h"

/* Stop before an access; when it is done, its memory must not have been given back. */
static void stop(enum race_kind kind, const volatile void *address, const void *caller)
{
	race_point_of(kind, address, caller);
	if (race_is_kernel_memory((unsigned long)address) &&
	    *(u64 *)((unsigned long)address & -8UL) == ENV_FREED * 0x0101010101010101ULL)
		env_complain("MEMORY", "what was freed is used");
}

#define ACCESS(symbol, kind)						\
void symbol(void *address);						\
void symbol(void *address)						\
{									\
	if (racing() && race_is_shared((unsigned long)address))		\
		stop(kind, address, __builtin_return_address(0));	\
}
#define SIZES(F, symbol, kind)						\
	F(symbol##1, kind) F(symbol##2, kind) F(symbol##4, kind) F(symbol##8, kind) F(symbol##16, kind)

SIZES(ACCESS, __tsan_read, RACE_READ)
SIZES(ACCESS, __tsan_write, RACE_WRITE)
SIZES(ACCESS, __tsan_volatile_read, RACE_READ)
SIZES(ACCESS, __tsan_volatile_write, RACE_WRITE)

#define RANGE(symbol, kind)						\
void symbol(void *address, unsigned long size);				\
void symbol(void *address, unsigned long size)				\
{									\
	if (racing() && race_is_shared((unsigned long)address))		\
		stop(kind, address, __builtin_return_address(0));	\
}
RANGE(__tsan_read_range, RACE_READ)
RANGE(__tsan_write_range, RACE_WRITE)

/* Called when the library is loaded, once for each unit. */
void __tsan_init(void);
void __tsan_init(void)
{
}

/* In place of kcsan_check_access(), in front.h; what is atomic and writes, reads as well as far as it matters. */
void env_race_access(const volatile void *address, size_t size, int type);
void env_race_access(const volatile void *address, size_t size, int type)
{
	enum race_kind kind = RACE_READ;

	if (!racing() || !race_is_shared((unsigned long)address))
		return;
	if (type & KCSAN_ACCESS_WRITE)
		kind = type & (KCSAN_ACCESS_ATOMIC | KCSAN_ACCESS_COMPOUND) ? RACE_RMW : RACE_WRITE;
	stop(kind, address, __builtin_return_address(0));
}
