/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replaces the kernel's WARN() and BUG() and their variants: each becomes an observation.  The includer defines
 * COMPLAIN_WARN(function), and COMPLAIN_BUG(function), which does not return.
 */
#ifndef CONFORMANCE_COMPLAINTS_H
#define CONFORMANCE_COMPLAINTS_H

#include <linux/bug.h>
#include <linux/mmdebug.h>

#undef WARN
#undef WARN_ON
#undef WARN_ONCE
#undef WARN_ON_ONCE
#undef BUG
#undef BUG_ON

/* Every time, not once: a complaint must not depend on earlier calls. */
#define WARN_ON(condition)						\
({									\
	int __warned = !!(condition);					\
	if (unlikely(__warned))						\
		COMPLAIN_WARN(__func__);				\
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
#define BUG()				COMPLAIN_BUG(__func__)
#define BUG_ON(condition)						\
do {									\
	if (unlikely(condition))					\
		BUG();							\
} while (0)

#endif
