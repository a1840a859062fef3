// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which memory is shared: a byte beside each byte of the direct map tells what nobody else looks at.  Memory
 * that is not marked so is shared, which costs time at worst.  Outside of the direct map are stacks, the
 * kernel's variables, of which one may change, and struct page, where KVM only counts.
 */
#include <linux/fs.h>
#include <linux/kvm_host.h>
#include <linux/sched.h>
#include "racing.h"
#include "mmu.h"
#include "mmu/mmu_internal.h"
#include "race_fields.h"

#define private_at(address)	((u8 *)(RACE_PRIVATE + ((unsigned long)(address) - ENV_DIRECT_MAP)))

bool race_is_shared(unsigned long address)
{
	if (address - ENV_DIRECT_MAP < ENV_KERNEL_END)
		return !*private_at(address);
	return address - (unsigned long)&nx_huge_pages < sizeof(nx_huge_pages);
}

static void share(void *object, size_t offset, size_t size)
{
	memset(private_at(object + offset), 0, size);
}

/* Objects have no type; those of KVM's that matter have sizes of their own. */
void race_allocated(void *object, size_t size)
{
#define SHARE(structure, field)						\
	if (size == sizeof(struct structure))				\
		share(object, offsetof(struct structure, field),	\
		      sizeof(((struct structure *)NULL)->field));
	if (size != sizeof(struct kvm) && size != sizeof(struct kvm_vcpu) &&
	    size != sizeof(struct kvm_mmu_page) && size != sizeof(struct kvm_memory_slot) &&
	    size != sizeof(struct task_struct) && size != sizeof(struct file))
		return;
	memset(private_at(object), 1, size);
	RACE_FIELDS(SHARE)
}

void race_freed(void *object, size_t size)
{
	memset(private_at(object), 0, size);
}
