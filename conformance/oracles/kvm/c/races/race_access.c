// SPDX-License-Identifier: GPL-2.0-only
/*
 * Called by code compiled with -fsanitize=thread, and by linux/instrumented.h, before each access to memory: a point
 * if threads share the memory.
 */
#include "kernel/memory.h"
#include "process/events.h"
#include "race_thread.h"

/* Stop before an access.  Its memory must not be freed meanwhile. */
static void stop(enum point_kind kind, const volatile void *address, const void *caller)
{
	race_point(kind, address, caller);
	if (race_is_kernel_memory((unsigned long)address) &&
	    *(u64 *)((unsigned long)address & -8UL) == ENV_FREED * 0x0101010101010101ULL)
		env_complain("MEMORY", "what was freed is used");
}

#define ACCESS(symbol, kind)						\
void symbol(void *address);						\
void symbol(void *address)						\
{									\
	if (race_current && race_is_shared((unsigned long)address))	\
		stop(kind, address, __builtin_return_address(0));	\
}
#define SIZES(F, symbol, kind)						\
	F(symbol##1, kind) F(symbol##2, kind) F(symbol##4, kind) F(symbol##8, kind) F(symbol##16, kind)

SIZES(ACCESS, __tsan_read, POINT_READ)
SIZES(ACCESS, __tsan_write, POINT_WRITE)
SIZES(ACCESS, __tsan_volatile_read, POINT_READ)
SIZES(ACCESS, __tsan_volatile_write, POINT_WRITE)

#define RANGE(symbol, kind)						\
void symbol(void *address, unsigned long size);				\
void symbol(void *address, unsigned long size)				\
{									\
	if (race_current && race_is_shared((unsigned long)address))	\
		stop(kind, address, __builtin_return_address(0));	\
}
RANGE(__tsan_read_range, POINT_READ)
RANGE(__tsan_write_range, POINT_WRITE)

/* Called when the library is loaded, once for each unit. */
void __tsan_init(void);
void __tsan_init(void)
{
}

/* In place of kcsan_check_access() (front.h).  An atomic write counts as a read-modify-write. */
void env_race_access(const volatile void *address, size_t size, int type);
void env_race_access(const volatile void *address, size_t size, int type)
{
	enum point_kind kind = POINT_READ;

	if (!race_current || !race_is_shared((unsigned long)address))
		return;
	if (type & KCSAN_ACCESS_WRITE)
		kind = type & (KCSAN_ACCESS_ATOMIC | KCSAN_ACCESS_COMPOUND) ? POINT_RMW : POINT_WRITE;
	stop(kind, address, __builtin_return_address(0));
}
