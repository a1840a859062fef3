/* SPDX-License-Identifier: GPL-2.0-only */
/* Where every function is to tell that it runs: "inline" says that none may, which is taken back here. */
#ifdef CONFORMANCE_TRACED
/* It says so once more. */
#include <linux/linkage.h>
#undef notrace
#define notrace
#endif
