// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which memory threads share.  A byte for each byte of the direct map marks what is private to a thread; all else
 * counts as shared, which at worst costs time.  Outside of the direct map are stacks, the kernel's variables, of which
 * one changes in a race, and struct page, where KVM only counts references.
 */
#include <linux/fs.h>
#include <linux/kvm_host.h>
#include <linux/sched.h>
#include "kernel/memory.h"
#include "racing.h"
#include "mmu.h"
#include "mmu/mmu_internal.h"
#include "mmu/spte.h"
#include "race_fields.h"

#define MAX_HOT		64
/* The gfns that guests of the race access, or the pages of their linear addresses. */
static u64 hot[MAX_HOT];
static int nr_hot;
/* Whether only page tables of a guest say which gfns it accesses. */
static bool any_gfn;

int race_add_hot(u64 gfn)
{
	if (gfn == RACE_ANY_GFN) {
		any_gfn = true;
		return 0;
	}
	if (nr_hot == MAX_HOT)
		return -ENOMEM;
	hot[nr_hot++] = gfn;
	return 0;
}

bool race_accesses(u64 first, u64 npages)
{
	int i;

	for (i = 0; i < nr_hot; i++)
		if (hot[i] - first < npages)
			return true;
	return any_gfn;
}

struct kvm_mmu_page *race_table_of(unsigned long address)
{
	struct kvm_mmu_page *sp = (void *)page_private(virt_to_page((void *)address));

	return race_is_kernel_memory((unsigned long)sp) && sp->spt == (u64 *)(address & PAGE_MASK) ? sp : NULL;
}

/*
 * Accesses to a non-present entry for gfns that no guest accesses do not conflict: no thread's behaviour depends on
 * whether it is zapped or frozen.  Whole tables of such entries are read when a table is zapped or its dirty log is
 * taken, so they are worth skipping.
 */
static bool is_cold(unsigned long address)
{
	struct kvm_mmu_page *sp = race_table_of(address);
	u64 gfn, index = address / 8 % 512;
	int i, shift;

	if (!sp || is_shadow_present_pte(*(u64 *)(address & -8UL)))
		return false;
	shift = 9 * (sp->role.level - 1);
	gfn = (sp->gfn >> shift) + index;
	for (i = 0; i < nr_hot; i++)
		/* Of a page that shadows a table only the indexes of entries are known. */
		if (sp->tdp_mmu_page ? hot[i] >> shift == gfn : (hot[i] >> shift) % 512 == index)
			return false;
	return true;
}

/* Only a root is reference-counted, and only the role of a root is read while it may change. */
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

/* Also called for the roots of the setup, whose count may not be accessed again. */
void race_share_root(struct kvm_mmu_page *root)
{
	share(root, offsetof(struct kvm_mmu_page, role), sizeof(root->role));
}

/* The objects of a kvm_mmu_memory_cache: an array of pointers. */
#define CACHE_OBJECTS	(KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE * sizeof(void *))

/* Objects are recognised by their size. */
void race_allocated(void *object, size_t size)
{
#define SHARE(structure, field)						\
	if (size == sizeof(struct structure))				\
		share(object, offsetof(struct structure, field),	\
		      sizeof(((struct structure *)NULL)->field));
	if (size != sizeof(struct kvm) && size != sizeof(struct kvm_vcpu) &&
	    size != sizeof(struct kvm_mmu_page) && size != sizeof(struct kvm_memory_slot) &&
	    size != sizeof(struct task_struct) && size != sizeof(struct file) && size != CACHE_OBJECTS)
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

unsigned long race_memory_end(void)
{
	return env_unused();
}
