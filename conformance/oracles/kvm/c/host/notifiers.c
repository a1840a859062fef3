// SPDX-License-Identifier: GPL-2.0-only
/* MMU notifiers: KVM is the only listener. */
#include <linux/mm.h>
#include "process/address_space.h"
#include "notifiers.h"

struct mmu_notifier *env_notifier;

int mmu_notifier_register(struct mmu_notifier *notifier, struct mm_struct *mm)
{
	notifier->mm = mm;
	env_notifier = notifier;
	return 0;
}

/* The address space is released before its listener is removed. */
void mmu_notifier_unregister(struct mmu_notifier *notifier, struct mm_struct *mm)
{
	if (notifier->ops->release)
		notifier->ops->release(notifier, mm);
	env_notifier = NULL;
}

static struct mmu_notifier_range range_of(unsigned long page, unsigned long npages, int event)
{
	return (struct mmu_notifier_range) {
		.mm = current->mm,
		.start = ENV_HOST_BASE + (page << PAGE_SHIFT),
		.end = ENV_HOST_BASE + ((page + npages) << PAGE_SHIFT),
		.flags = MMU_NOTIFIER_RANGE_BLOCKABLE,
		.event = event,
	};
}

void env_range_start(unsigned long page, unsigned long npages, int event)
{
	struct mmu_notifier_range range = range_of(page, npages, event);

	if (env_notifier)
		env_notifier->ops->invalidate_range_start(env_notifier, &range);
}

void env_range_end(unsigned long page, unsigned long npages, int event)
{
	struct mmu_notifier_range range = range_of(page, npages, event);

	if (env_notifier)
		env_notifier->ops->invalidate_range_end(env_notifier, &range);
}

/* Until f3b65bbaed7c ("KVM: delete .change_pte MMU notifier callback") in v6.10. */
void env_change_pte(unsigned long page, u64 entry)
{
#ifdef HAVE_CHANGE_PTE
	env_notifier->ops->change_pte(env_notifier, current->mm, ENV_HOST_BASE + (page << PAGE_SHIFT),
				      __pte(entry));
#endif
}
