// SPDX-License-Identifier: GPL-2.0-only
/* The lockless reader of the tables: another task, in an RCU read-side critical section from begin to end. */
#include <linux/kvm_host.h>
#include "kernel/lockdep.h"
#include "process/observe.h"
#include "kvm_shape.h"
#include "walker.h"
#include "mmu.h"
#include "mmu/mmu_internal.h"
#include "mmu/spte.h"
#include "mmu/tdp_iter.h"

#ifdef HAVE_TDP_MMU
static struct tdp_iter walker;
static bool walking;

static void put_walker(void)
{
	bool table = walker.valid && is_shadow_present_pte(walker.old_spte) &&
		     !is_last_spte(walker.old_spte, walker.level);

	put_outcome(walker.valid);
	put_outcome(walker.level);
	put_outcome(walker.gfn);
	put_outcome_bits(walker.old_spte & ~(table ? GENMASK_ULL(51, 12) : 0));
}

#ifdef HAVE_TDP_ITER_GFN_BITS
#define start_iter(iter, root, gfn)	tdp_iter_start(iter, root, PG_LEVEL_4K, gfn, 0)
#else
#define start_iter(iter, root, gfn)	tdp_iter_start(iter, root, PG_LEVEL_4K, gfn)
#endif

void walker_begin(struct kvm_vcpu *vcpu, u64 gfn)
{
	if (!VALID_PAGE(root_hpa_of(vcpu->arch.mmu))) {
		put_outcome(-EINVAL);
		return;
	}
	rcu_read_lock();
	start_iter(&walker, sptep_to_sp(__va(root_hpa_of(vcpu->arch.mmu))), gfn);
	put_walker();
	env_park_reader();
	walking = true;
}

void walker_next(void)
{
	env_resume_reader();
	tdp_iter_next(&walker);
	put_walker();
	env_park_reader();
}

void walker_end(void)
{
	if (walking) {
		env_resume_reader();
		rcu_read_unlock();
	}
	walking = false;
}
#else
/* There are no tables of a TDP MMU that another task could read. */
void walker_begin(struct kvm_vcpu *vcpu, u64 gfn)
{
	put_outcome(-ENOSYS);
}

void walker_next(void)
{
	put_outcome(-ENOSYS);
}

void walker_end(void)
{
}
#endif
