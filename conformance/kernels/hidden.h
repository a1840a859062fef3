/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Included before everything else: all that the kernel declares is within the same object, as in a kernel.
 * Otherwise -fPIC reaches it through the global offset table, and inline assembly that wants a constant
 * address (_static_cpu_has()) cannot be compiled. -fvisibility=hidden does not cover extern declarations.
 */
#pragma GCC visibility push(hidden)
