// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory functions, which the compiler calls for loops and assignments.  The symbols are hidden: libc neither
 * provides nor uses them.
 */
#include <linux/string.h>

#undef memset
#undef memcpy
#undef memmove

void *memset(void *to, int byte, size_t n)
{
	void *p = to;

	__asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(byte) : "memory");
	return to;
}

void *memcpy(void *to, const void *from, size_t n)
{
	void *p = to;

	__asm__ volatile("rep movsb" : "+D"(p), "+S"(from), "+c"(n) : : "memory");
	return to;
}

#ifdef __clang__
__attribute__((no_builtin))
#else
__attribute__((optimize("no-tree-loop-distribute-patterns")))
#endif
void *memmove(void *to, const void *from, size_t n)
{
	char *p = to;
	const char *q = from;

	if (p <= q)
		return memcpy(to, from, n);
	while (n--)
		p[n] = q[n];
	return to;
}
