/* SPDX-License-Identifier: GPL-2.0-only */
/* In place of the kernel's header: what blocks.c defines. */
#include "front.h"
void *memset(void *to, int byte, size_t n);
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
