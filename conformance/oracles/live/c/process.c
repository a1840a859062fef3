// SPDX-License-Identifier: GPL-2.0-only
// The host process: its areas, its pages, and what the host's kernel does to them.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Page 0 of the process; aligned to 1 GiB, as huge pages have to be. */
#define BASE 0x100000000000ull
#define SIZE (1ull << 36)

void *address_of(uint64_t page)
{
	return (void *)(BASE + page * PAGE_SIZE);
}

/* Pages as those of the process are, at higher addresses: KSM keeps the page at the highest one. */
static void *twin_of(void *page)
{
	return (uint8_t *)page + SIZE;
}

void unmap_process(void)
{
	munmap((void *)BASE, 2 * SIZE);
}

static void serve_mmap(void)
{
	uint64_t level = argument_or("level", 1), size = argument_or("npages", 1) * PAGE_SIZE;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE;
	int rights = PROT_READ | (argument("writable") ? PROT_WRITE : 0);
	void *area;

	if (level == 3)
		flags |= MAP_HUGETLB | 30 << MAP_HUGE_SHIFT;
	area = mmap(address_of(argument("page")), size, rights, flags, -1, 0);
	/* MADV_NOHUGEPAGE would make MADV_COLLAPSE fail: without advice there are no huge pages either. */
	if (area != MAP_FAILED && level == 2)
		madvise(area, size, MADV_HUGEPAGE);
	if (area != MAP_FAILED)
		madvise(area, size, MADV_DONTFORK);
	/* Steps map an area once: the step's error for that is EINVAL. */
	if (area == MAP_FAILED && errno == EEXIST)
		errno = EINVAL;
	answer_code(area == MAP_FAILED ? -1 : 0);
}

/* The word of /proc/self/pagemap about an address. */
static uint64_t pagemap_of(void *address)
{
	int file = open("/proc/self/pagemap", O_RDONLY);
	uint64_t word = 0;

	if (pread(file, &word, sizeof(word), (uintptr_t)address / PAGE_SIZE * sizeof(word)) < 0)
		word = 0;
	close(file);
	return word;
}

int is_present(void *address)
{
	return pagemap_of(address) >> 63;
}

static sigjmp_buf after_fault;

static void on_fault(int number)
{
	siglongjmp(after_fault, number);
}

/* Read or write a byte of a page; -1 with EFAULT if the process may not. */
static int touch(volatile uint8_t *byte, int write)
{
	struct sigaction handling = { .sa_handler = on_fault };
	int result = 0;

	sigaction(SIGSEGV, &handling, NULL);
	sigaction(SIGBUS, &handling, NULL);
	if (sigsetjmp(after_fault, 1)) {
		errno = EFAULT;
		result = -1;
	} else if (write) {
		/* A write without a read before it: an instruction that does both may fault for the read. */
		*byte = is_present((void *)byte) ? *byte : 0;
	} else {
		(void)*byte;
	}
	handling.sa_handler = SIG_DFL;
	sigaction(SIGSEGV, &handling, NULL);
	sigaction(SIGBUS, &handling, NULL);
	return result;
}

int store_word(uint64_t page, uint64_t index, uint64_t value)
{
	volatile uint64_t *word = (uint64_t *)address_of(page) + index;
	struct sigaction handling = { .sa_handler = on_fault };
	int result = 0;

	sigaction(SIGSEGV, &handling, NULL);
	sigaction(SIGBUS, &handling, NULL);
	if (sigsetjmp(after_fault, 1)) {
		errno = EFAULT;
		result = -1;
	} else {
		*word = value;
	}
	handling.sa_handler = SIG_DFL;
	sigaction(SIGSEGV, &handling, NULL);
	sigaction(SIGBUS, &handling, NULL);
	return result;
}

static void serve_touch(void)
{
	answer_code(touch(address_of(argument("page")), argument("write")));
}

static void serve_madvise_dontneed(void)
{
	answer_code(madvise(address_of(argument("page")), argument_or("npages", 1) * PAGE_SIZE,
			    MADV_DONTNEED));
}

/*
 * fork() makes pages read-only that the child shares, so no others are shared. The child ends at once:
 * otherwise later writes would copy the page. At last the advice is taken back: an area in parts would be
 * invalidated part by part.
 */
static void serve_wrprotect(void)
{
	void *start = address_of(argument("page"));
	uint64_t size = argument_or("npages", 1) * PAGE_SIZE;
	pid_t child;

	if (guest_stub)
		madvise(guest_stub, STUB_SIZE, MADV_DONTFORK);
	madvise(start, size, MADV_DOFORK);
	child = fork();
	if (!child)
		_exit(0);
	if (child > 0)
		waitpid(child, NULL, 0);
	madvise(start, size, MADV_DONTFORK);
	answer_code(child < 0 ? -1 : 0);
}

static void serve_collapse(void)
{
	answer_code(madvise(address_of(argument("page") & ~511ull), 512 * PAGE_SIZE, MADV_COLLAPSE));
}

/* Move a page. The area around its old address stays, without a page there. */
static void serve_mremap(void)
{
	void *moved = mremap(address_of(argument("page")), PAGE_SIZE, PAGE_SIZE,
			     MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, address_of(argument("to")));

	answer_code(moved == MAP_FAILED ? -1 : 0);
}

#define KSM "/sys/kernel/mm/ksm/"
/* Milliseconds in which KSM has seen a page twice, and merged it. */
#define KSM_PATIENCE 5000

static uint64_t frame_of(void *address)
{
	return pagemap_of(address) & ((1ull << 55) - 1);
}

/* Let KSM merge a page with a twin, whose frame both have then. */
static void serve_ksm_merge(void)
{
	void *page = address_of(argument("page")), *twin = twin_of(page);
	int merged = 0;

	if (!is_present(page)) {
		errno = EINVAL;
		answer_code(-1);
		return;
	}
	mmap(twin, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	memcpy(twin, page, PAGE_SIZE);
	madvise(page, PAGE_SIZE, MADV_MERGEABLE);
	madvise(twin, PAGE_SIZE, MADV_MERGEABLE);
	write_file(KSM "run", "1", 0);
	for (int n = 0; n < KSM_PATIENCE && !merged; n++) {
		usleep(1000);
		merged = frame_of(page) == frame_of(twin);
	}
	write_file(KSM "run", "0", 0);
	errno = ETIMEDOUT;
	answer_code(merged ? 0 : -1);
}

/* Split the huge page that maps a page: its area is split there, and is one area again. */
static void serve_split(void)
{
	void *start = address_of(argument("page"));
	uint64_t size = BASE + SIZE - (uint64_t)start;

	madvise(start, size, MADV_DOFORK);
	madvise(start, size, MADV_DONTFORK);
	answer_code(0);
}

const struct request process_requests[] = {
	{ "mmap", serve_mmap },
	{ "touch", serve_touch },
	{ "madvise_dontneed", serve_madvise_dontneed },
	{ "wrprotect", serve_wrprotect },
	{ "collapse", serve_collapse },
	{ "mremap", serve_mremap },
	{ "ksm_merge", serve_ksm_merge },
	{ "split", serve_split },
	{ NULL, NULL },
};
