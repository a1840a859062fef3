// SPDX-License-Identifier: GPL-2.0-only
/*
 * The execution counters of a library that is built for coverage; see oracles/coverage.py.  gcc lists its units in a
 * section, and its libgcov writes the counters of one as the content of a .gcda file.  Any other library has the places
 * of mutants in their stead, see planted.c.
 */
#include <linux/types.h>
#include <linux/string.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT unsigned long conformance_coverage(void *to, unsigned long size);

#ifdef CONFORMANCE_COVERAGE

struct gcov_info;

extern const struct gcov_info *const __start_conformance_units[], *const __stop_conformance_units[];

void __gcov_info_to_gcda(const struct gcov_info *unit, void (*name)(const char *name, void *to),
			 void (*content)(const void *from, unsigned int size, void *to),
			 void *(*allocate)(unsigned int size, void *to), void *to);

struct coverage {
	char *to;
	unsigned long size, at;
};

static void add(const void *from, unsigned int size, void *coverage)
{
	struct coverage *all = coverage;

	if (all->at + size <= all->size)
		memcpy(all->to + all->at, from, size);
	all->at += size;
}

static void add_name(const char *name, void *coverage)
{
	do
		add(name, 1, coverage);
	while (*name++);
}

/* Only counters of values, which are not compiled in, need memory. */
static void *allocate(unsigned int size, void *coverage)
{
	return NULL;
}

/*
 * Write the counters of each unit: the length of what follows as a 64-bit word, the name of its .gcda file with a NUL,
 * and that file's content.  Returns the size of all; nothing is valid if it is larger than `size`.
 */
unsigned long conformance_coverage(void *to, unsigned long size)
{
	struct coverage all = { .to = to, .size = size };
	const struct gcov_info *const *unit;
	unsigned long start;
	u64 length = 0;

	for (unit = __start_conformance_units; unit < __stop_conformance_units; unit++) {
		start = all.at;
		add(&length, sizeof(length), &all);
		__gcov_info_to_gcda(*unit, add_name, add, allocate, &all);
		length = all.at - start - sizeof(length);
		if (all.at <= size)
			memcpy(all.to + start, &length, sizeof(length));
	}
	return all.at;
}

#else

unsigned long conformance_reached(void *to, unsigned long size);

unsigned long conformance_coverage(void *to, unsigned long size)
{
	return conformance_reached(to, size);
}

#endif
