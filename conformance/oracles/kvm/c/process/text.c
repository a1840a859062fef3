// SPDX-License-Identifier: GPL-2.0-only
/* String functions and a search, by their definition.  The symbols are hidden: libc neither provides nor uses them. */
#include <linux/bsearch.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/ctype.h>
#include "stand_in.h"

/* Keep the compiler from turning the loop into a call of the function itself. */
#ifdef __clang__
#define PLAIN_LOOP __attribute__((no_builtin))
#else
#define PLAIN_LOOP __attribute__((optimize("no-tree-loop-distribute-patterns")))
#endif

#undef strlen

PLAIN_LOOP size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

PLAIN_LOOP char *strchr(const char *s, int c)
{
	for (; *s != (char)c; s++)
		if (!*s)
			return NULL;
	return (char *)s;
}

/* clang calls these for searches in constant strings, and for memcmp() compared with 0 only. */
#undef memchr
PLAIN_LOOP void *memchr(const void *s, int c, size_t n)
{
	const unsigned char *at = s;

	for (; n; n--, at++)
		if (*at == (unsigned char)c)
			return (void *)at;
	return NULL;
}

#undef bcmp
PLAIN_LOOP int bcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *one = a, *other = b;

	for (; n; n--)
		if (*one++ != *other++)
			return 1;
	return 0;
}

/* Whether two strings are the same up to a newline, as values written into sysfs are compared. */
PLAIN_LOOP bool sysfs_streq(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return (!*a || (*a == '\n' && !a[1])) && (!*b || (*b == '\n' && !b[1]));
}

void *bsearch(const void *key, const void *base, size_t number, size_t size, cmp_func_t compare)
{
	while (number) {
		const void *middle = base + number / 2 * size;
		int order = compare(key, middle);

		if (!order)
			return (void *)middle;
		if (order > 0) {
			base = middle + size;
			number--;
		}
		number /= 2;
	}
	return NULL;
}

/* Only names of files and caches are formatted; nothing reads them. */
int snprintf(char *buffer, size_t size, const char *format, ...)
{
	if (size)
		*buffer = 0;
	return 0;
}
int env_scnprintf(char *buffer, size_t size, const char *format, ...) STANDS_IN(scnprintf);
int env_scnprintf(char *buffer, size_t size, const char *format, ...)
{
	if (size)
		*buffer = 0;
	return 0;
}
