/* SPDX-License-Identifier: GPL-2.0-only */
/* Functions that the compiler folded into others, reached through one that stands alone. */
