// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM's accesses to user memory, which front.h leads here.  The host's memory is accessed through its page tables, as
 * the processor does: a page that is not mapped as it has to be is faulted in, or the access fails where page faults
 * are disabled.  All other user addresses are those of our own arguments to ioctls.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include "kernel/memory.h"
#include "process/scheduler.h"
#include "frames.h"
#include "host.h"

static bool is_hosts(unsigned long address)
{
	return address - ENV_HOST_BASE < ENV_HOST_PAGES << PAGE_SHIFT;
}

/* 0 if the page is not mapped, or not writable for a write. */
static unsigned long mapped_frame(unsigned long page, bool write)
{
	struct host_walk walk = host_walk_to(page);

	if (!(*walk.entry & P) || (write && !(*walk.entry & W)))
		return 0;
	return ((*walk.entry & PFN_MASK) >> PAGE_SHIFT) + (page & (host_level_pages[walk.level] - 1));
}

/* The frame behind an address of the host, for an access of `caller` that is about to happen; 0 if it cannot. */
static unsigned long frame_behind(unsigned long address, enum point_kind kind, const void *caller)
{
	unsigned long page = (address - ENV_HOST_BASE) >> PAGE_SHIFT, pfn;
	bool write = kind != POINT_READ;

	for (;;) {
		pfn = mapped_frame(page, write);
		if (!pfn) {
			if (faulthandler_disabled() || env_touch(page, write))
				return 0;
			continue;
		}
		sched_point_of(kind, frame_object(pfn, address & ~PAGE_MASK), caller);
		/* In a race, the mapping may have changed meanwhile. */
		if (mapped_frame(page, write) == pfn)
			return pfn;
	}
}

/* As many bytes as lie in the same word as the first. */
static size_t in_word(unsigned long address, size_t n)
{
	return min_t(size_t, n, 8 - (address & 7));
}

unsigned long env_copy_from_user(void *to, const void __user *from, unsigned long n)
{
	const void *caller = __builtin_return_address(0);
	unsigned long address = (unsigned long)from, pfn;
	size_t size;
	u64 value;

	if (!is_hosts(address)) {
		memcpy(to, (const void __force *)from, n);
		return 0;
	}
	for (; n; n -= size, to += size, address += size) {
		size = in_word(address, n);
		pfn = frame_behind(address, POINT_READ, caller);
		if (!pfn)
			return n;
		value = frame_read(pfn, address & ~PAGE_MASK, size);
		memcpy(to, &value, size);
	}
	return 0;
}

unsigned long env_copy_to_user(void __user *to, const void *from, unsigned long n)
{
	const void *caller = __builtin_return_address(0);
	unsigned long address = (unsigned long)to, pfn;
	size_t size;
	u64 value;

	if (!is_hosts(address)) {
		memcpy((void __force *)to, from, n);
		return 0;
	}
	for (; n; n -= size, from += size, address += size) {
		size = in_word(address, n);
		pfn = frame_behind(address, POINT_WRITE, caller);
		if (!pfn)
			return n;
		value = 0;
		memcpy(&value, from, size);
		frame_write(pfn, address & ~PAGE_MASK, size, value);
	}
	return 0;
}

int env_try_cmpxchg_user(void __user *at, void *old, u64 new, unsigned long size)
{
	unsigned long address = (unsigned long)at;
	unsigned long pfn = frame_behind(address, POINT_RMW, __builtin_return_address(0));
	u64 expected = 0, found;

	if (!pfn)
		return -EFAULT;
	memcpy(&expected, old, size);
	found = frame_read(pfn, address & ~PAGE_MASK, size);
	if (found == expected) {
		frame_write(pfn, address & ~PAGE_MASK, size, new);
		return 0;
	}
	memcpy(old, &found, size);
	return 1;
}

void *env_user_word(void __user *at)
{
	unsigned long address = (unsigned long)at, pfn;

	if (!is_hosts(address))
		return (void __force *)at;
	pfn = frame_behind(address, POINT_RMW, __builtin_return_address(0));
	return pfn ? frame_word(pfn, address & ~PAGE_MASK) : NULL;
}

void *env_memdup_user(const void __user *from, size_t n) STANDS_IN(memdup_user);
void *env_memdup_user(const void __user *from, size_t n)
{
	void *copy = env_object(n, false);

	if (!env_copy_from_user(copy, from, n))
		return copy;
	env_put_object(copy);
	return ERR_PTR(-EFAULT);
}
void *env_vmemdup_user(const void __user *from, size_t n)
	STANDS_IN(vmemdup_user) __attribute__((alias("memdup_user")));
