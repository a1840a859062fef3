/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Stands in front of <linux/instrumented.h>: the kernel announces each atomic access here before it
 * makes it (for KASAN and KCSAN).  The genuine header is included; its announcements of atomics are
 * then routed to the shim's log of accesses.
 */
#ifndef CONFORMANCE_INSTRUMENTED_H
#define CONFORMANCE_INSTRUMENTED_H

#include_next <linux/instrumented.h>

extern void shim_access(const volatile void *address, int atomic);

#define instrument_atomic_write(v, size)	shim_access(v, 1)
#define instrument_atomic_read_write(v, size)	shim_access(v, 1)

#endif
