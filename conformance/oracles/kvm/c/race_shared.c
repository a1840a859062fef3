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
#include "mmu/spte.h"
#include "race_fields.h"

#define MAX_HOT		64
/* The gfns that guests of the race access. */
static u64 hot[MAX_HOT];
static int nr_hot;

int race_add_hot(u64 gfn)
{
	if (nr_hot == MAX_HOT)
		return -ENOMEM;
	hot[nr_hot++] = gfn;
	return 0;
}

/* Whether guests of the race access any gfn of a range. */
bool race_reaches(u64 first, u64 npages)
{
	int i;

	for (i = 0; i < nr_hot; i++)
		if (hot[i] - first < npages)
			return true;
	return false;
}

/* The shadow page whose table a page of memory is, if it is one. */
struct kvm_mmu_page *race_table_of(unsigned long address)
{
	struct kvm_mmu_page *sp = (void *)page_private(virt_to_page((void *)address));

	return race_is_kernel_memory((unsigned long)sp) && sp->spt == (u64 *)(address & PAGE_MASK) ? sp : NULL;
}

/*
 * An entry without a mapping, for gfns that no guest accesses, is nothing that anybody could meet at: whether it
 * is zapped or frozen is the same to all who come by, and nobody else comes.  Whole tables of them are looked
 * through where one is zapped or its dirty log is taken.
 */
static bool is_cold(unsigned long address)
{
	struct kvm_mmu_page *sp = race_table_of(address);
	int i, shift;
	u64 gfn;

	if (!sp || is_shadow_present_pte(*(u64 *)(address & -8UL)))
		return false;
	shift = 9 * (sp->role.level - 1);
	gfn = (sp->gfn >> shift) + address / 8 % 512;
	for (i = 0; i < nr_hot; i++)
		if (hot[i] >> shift == gfn)
			return false;
	return true;
}

/* What the bytes say.  Only a root is counted, and only of a root is the role looked at while it may change. */
enum { SHARED, PRIVATE, ROOT_COUNT };
#define private_at(address)	((u8 *)(RACE_PRIVATE + ((unsigned long)(address) - ENV_DIRECT_MAP)))

bool race_is_shared(unsigned long address)
{
	if (address - ENV_DIRECT_MAP < ENV_KERNEL_END) {
		u8 what = *private_at(address);

		if (what == ROOT_COUNT)
			race_share_root(container_of((void *)(address & -4UL), struct kvm_mmu_page,
						     tdp_mmu_root_count));
		return what != PRIVATE && !is_cold(address);
	}
	return address - (unsigned long)&nx_huge_pages < sizeof(nx_huge_pages);
}

static void share(void *object, size_t offset, size_t size)
{
	memset(private_at(object + offset), SHARED, size);
}

void race_hide(void *object, size_t size)
{
	memset(private_at(object), PRIVATE, size);
}

/* Also those that there are already, whose count nobody may look at any more. */
void race_share_root(struct kvm_mmu_page *root)
{
	share(root, offsetof(struct kvm_mmu_page, role), sizeof(root->role));
}

/* A vCPU's stock of pages: an array of pointers. */
#define STOCK	(KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE * sizeof(void *))

/* Objects have no type; those of KVM's that matter have sizes of their own. */
void race_allocated(void *object, size_t size)
{
#define SHARE(structure, field)						\
	if (size == sizeof(struct structure))				\
		share(object, offsetof(struct structure, field),	\
		      sizeof(((struct structure *)NULL)->field));
	if (size != sizeof(struct kvm) && size != sizeof(struct kvm_vcpu) &&
	    size != sizeof(struct kvm_mmu_page) && size != sizeof(struct kvm_memory_slot) &&
	    size != sizeof(struct task_struct) && size != sizeof(struct file) && size != STOCK)
		return;
	race_hide(object, size);
	RACE_FIELDS(SHARE)
	if (size == sizeof(struct kvm_mmu_page)) {
		struct kvm_mmu_page *sp = object;

		race_hide(&sp->role, sizeof(sp->role));
		memset(private_at(&sp->tdp_mmu_root_count), ROOT_COUNT, sizeof(sp->tdp_mmu_root_count));
	}
}

void race_freed(void *object, size_t size)
{
	memset(private_at(object), 0, size);
}
