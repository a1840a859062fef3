/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracing: the kernel's "inline" includes no_instrument_function, which is removed here. */
#ifdef CONFORMANCE_TRACED
/* Another definition of it. */
#include <linux/linkage.h>
#undef notrace
#define notrace
#endif
