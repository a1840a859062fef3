// SPDX-License-Identifier: GPL-2.0-only
/*
 * The processor's walk for a linear address through shadow page tables, as the Intel SDM, volume 3, "Paging" has it,
 * with CR0.WP and EFER.NX set, which KVM sets while a guest runs whose tables it shadows.  There are 4 or 5 levels, or
 * 3 with the four entries of a PAE root, which give no rights and have no Accessed bits.
 */
#include <linux/kvm_host.h>
#include "interface.h"
#include "process/scheduler.h"
#include "processor.h"
#include "mmu.h"

#define ADDRESS_MASK		GENMASK_ULL(51, 12)
/* Address bits beyond MAXPHYADDR, which is 48. */
#define RESERVED_ADDRESS	GENMASK_ULL(51, 48)

static struct exit page_fault(const struct reference *ref, bool present, bool reserved)
{
	u64 code = 0;

	if (present)
		code |= PFERR_PRESENT_MASK;
	if (ref->kind == ACCESS_WRITE)
		code |= PFERR_WRITE_MASK;
	if (ref->user)
		code |= PFERR_USER_MASK;
	if (reserved)
		code |= PFERR_RSVD_MASK;
	if (ref->kind == ACCESS_FETCH)
		code |= PFERR_FETCH_MASK;
	return (struct exit){ reserved, code };
}

static int rights_of(u64 entry)
{
	return ACCESS_READ | (entry & PT_WRITABLE_MASK ? ACCESS_WRITE : 0) |
	       (entry & PT_USER_MASK ? RIGHT_USER : 0) | (entry & PT64_NX_MASK ? 0 : ACCESS_FETCH);
}

bool linear_walk(struct processor *cpu, const struct reference *ref, struct table_walk *path, struct exit *exit)
{
	u64 *table = processor_table(cpu->root);
	int level;

	memset(path, 0, sizeof(*path));
	path->rights = RIGHTS | RIGHT_USER;
	for (level = cpu->root_level;; level--) {
		bool pae_root = level == 3 && cpu->root_level == 3;
		u64 *at = &table[(ref->page >> (9 * (level - 1))) & (pae_root ? 3 : 511)];
		u64 entry;

		sched_point(POINT_READ, at);
		entry = READ_ONCE(*at);
		if (!(entry & PT_PRESENT_MASK) || entry & RESERVED_ADDRESS) {
			*exit = page_fault(ref, entry & PT_PRESENT_MASK, entry & PT_PRESENT_MASK);
			return false;
		}
		if (!pae_root) {
			path->entries[level] = at;
			path->seen[level] = entry;
			path->rights &= rights_of(entry);
		}
		path->level = level;
		if (level == 1 || (level < 4 && !pae_root && entry & PT_PAGE_SIZE_MASK))
			break;
		table = processor_table(entry & ADDRESS_MASK);
	}
	*exit = page_fault(ref, true, false);
	return processor_allows(path->rights, ref);
}
