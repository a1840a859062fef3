/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Included before each unit of a module. Other modules link against what it declares, so the visibility that
 * hidden.h sets is taken back.
 */
#ifndef __ASSEMBLER__
#pragma GCC visibility pop
#endif
