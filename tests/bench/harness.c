// SPDX-License-Identifier: GPL-2.0-only
/*
 * One value at a time, as a fuzzer does it: the kernel's spte_has_volatile_bits() through the shim
 * library, the model's rewritten below, and a trap if they differ.
 *
 * clang -fsanitize=fuzzer makes a libFuzzer harness of it; with -DOWN_DRIVER it brings a loop of its own
 * with a mutator, which has neither coverage feedback nor a corpus. After BENCH_WARM_UP executions,
 * BENCH_RUNS more are timed; then it prints their number and the nanoseconds of processor time, and ends.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef void run_fn(unsigned long entry, const uint64_t *in, uint64_t *out, unsigned long n, uint64_t *at);
typedef void configure_fn(const uint64_t *host);

static run_fn *shim_run;
static unsigned long entry;
static uint64_t host[16], masks[8], at;
static uint64_t executions, warm_up, runs;
static struct timespec start;

enum { MMU_WRITABLE, ACC_TRACK, ACCESSED, DIRTY, AD_MASK, AD_DISABLED, WRITABLE };

/* The model's spte_has_volatile_bits() for 6.1, where the caller checks shadow-present. */
static int model(uint64_t spte)
{
	int writable = !!(spte & masks[WRITABLE]);
	int hardware = (spte & masks[AD_MASK]) != masks[AD_DISABLED];
	int fixable = (spte & masks[MMU_WRITABLE]) && !writable;
	int tracked = !hardware && !(spte & masks[ACC_TRACK]);
	int pending = (writable && !(spte & masks[DIRTY])) || !(spte & masks[ACCESSED]);

	return fixable || tracked || (hardware && pending);
}

static const char *wanted(const char *name)
{
	const char *value = getenv(name);

	if (!value) {
		fprintf(stderr, "%s is not set\n", name);
		_exit(2);
	}
	return value;
}

static void words(const char *name, uint64_t *to, int most)
{
	char *text = (char *)wanted(name);

	for (; *text && most--; text += *text == ',')
		*to++ = strtoull(text, &text, 0);
}

static void *symbol(void *library, const char *name)
{
	void *found = library ? dlsym(library, name) : NULL;

	if (!found) {
		fprintf(stderr, "%s\n", dlerror());
		_exit(2);
	}
	return found;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	void *library = dlopen(wanted("BENCH_LIBRARY"), RTLD_NOW | RTLD_LOCAL);

	(void)argc, (void)argv;
	words("BENCH_HOST", host, 16);
	words("BENCH_MASKS", masks, 8);
	entry = strtoul(wanted("BENCH_ENTRY"), NULL, 0);
	warm_up = strtoull(wanted("BENCH_WARM_UP"), NULL, 0);
	runs = strtoull(wanted("BENCH_RUNS"), NULL, 0);
	((configure_fn *)symbol(library, "shim_configure"))(host);
	shim_run = (run_fn *)symbol(library, "shim_run");
	return 0;
}

static void done(void)
{
	struct timespec end;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	printf("%llu %lld\n", (unsigned long long)runs,
	       (end.tv_sec - start.tv_sec) * 1000000000LL + end.tv_nsec - start.tv_nsec);
	fflush(stdout);
	_exit(0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t spte = 0, kernel[2];

	if (executions == warm_up)
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
	if (executions++ == warm_up + runs)
		done();
	memcpy(&spte, data, size < 8 ? size : 8);
	shim_run(entry, &spte, kernel, 1, &at);
	if (kernel[0] != (uint64_t)model(spte) || kernel[1]) {
		fprintf(stderr, "differs on 0x%016llx\n", (unsigned long long)spte);
		_exit(3);
	}
	return 0;
}

#ifdef OWN_DRIVER
static uint64_t seed = 1;

static uint64_t draw(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

int main(int argc, char **argv)
{
	uint8_t data[8] = {};

	LLVMFuzzerInitialize(&argc, &argv);
	for (;;) {
		uint64_t r = draw();

		switch (r >> 62) {
		case 0:
			data[r & 7] ^= 1 << (r >> 3 & 7);
			break;
		case 1:
			data[r & 7] = r >> 8;
			break;
		case 2:
			data[r & 7] = data[r >> 3 & 7];
			break;
		default:
			memcpy(data, &r, 8);
		}
		LLVMFuzzerTestOneInput(data, 8);
	}
}
#endif
