// SPDX-License-Identifier: GPL-2.0-only
/*
 * The steps, each a function of its name, which reports of races quote: hence not inlined.  interface.h lists them and
 * declares their arguments.
 */
#include <linux/kvm_host.h>
#include "host/files.h"
#include "host/marks.h"
#include "host/notifiers.h"
#include "host/operations.h"
#include "interface.h"
#include "kernel/cpu.h"
#include "kernel/lockdep.h"
#include "kernel/locks.h"
#include "kernel/rcu.h"
#include "kernel/workqueue.h"
#include "process/address_space.h"
#include "process/observe.h"
#include "process/scheduler.h"
#include "control.h"
#include "execute.h"
#include "guest.h"
#include "kvm_shape.h"
#include "machine.h"
#include "nested.h"
#include "state.h"
#include "steps.h"
#include "vendor.h"
#include "walker.h"
#include "mmu.h"
#include "mmu/mmu_internal.h"

/* Static in mmu.c. */
#ifdef HAVE_kvm_recover_nx_lpages
void kvm_recover_nx_lpages(struct kvm *kvm);
#define recover(kvm)	kvm_recover_nx_lpages(kvm)
#elif defined(HAVE_RECOVER_NX_MMU_TYPE)
void kvm_recover_nx_huge_pages(struct kvm *kvm, const enum kvm_mmu_type type);

/* As the worker, which would only take locks if there are no shadow pages to recover. */
static void recover(struct kvm *kvm)
{
	if (kvm->arch.possible_nx_huge_pages[KVM_SHADOW_MMU].nr_pages)
		kvm_recover_nx_huge_pages(kvm, KVM_SHADOW_MMU);
	kvm_recover_nx_huge_pages(kvm, KVM_TDP_MMU);
}
#else
void kvm_recover_nx_huge_pages(struct kvm *kvm);
#define recover(kvm)	kvm_recover_nx_huge_pages(kvm)
#endif

static struct kvm_memory_slot *slot_of(unsigned long as_id, unsigned long id)
{
	/* Without SRCU: in a race no other thread runs between this and the ioctl that follows. */
	return as_id > 1 ? NULL : id_to_memslot(rcu_dereference_raw(machine_kvm->memslots[as_id]), id);
}

static u32 slot_number(unsigned long as_id, unsigned long id)
{
	return id | as_id << 16;
}

static noinline void set_memory_region(const struct set_memory_region_arguments *args)
{
	struct kvm_memory_slot *old = slot_of(args->as_id, args->slot);
	bool goes = old && (!args->npages || old->base_gfn != args->gfn);
	bool accessed = goes && guest_hooks && guest_hooks->accesses(old->base_gfn, old->npages);
	long r;
	struct kvm_userspace_memory_region region = {
		.slot = slot_number(args->as_id, args->slot),
		.guest_phys_addr = args->gfn << PAGE_SHIFT,
		.memory_size = args->npages << PAGE_SHIFT,
		.userspace_addr = ENV_HOST_BASE + (args->page << PAGE_SHIFT),
		.flags = args->flags,
	};

	/* KVM would wait for the end of the invalidation, which only a later step can bring. */
	if (waits_for_invalidations(machine_kvm) && !racing()) {
		put_outcome(-EAGAIN);
		return;
	}
	r = machine_ioctl(KVM_SET_USER_MEMORY_REGION, &region);
	put_outcome(r);
	if (r || !goes)
		return;
	/* The order matters to accesses only. */
	if (accessed)
		sched_point(POINT_WRITE, history);
	record_event(EVENT_SLOT_GONE, 1, (u64)region.slot);
}

static noinline void get_dirty_log(const struct get_dirty_log_arguments *args)
{
	static u64 bitmaps[MAX_CPUS][ENV_HOST_PAGES / 64];
	u64 *bitmap = bitmaps[raw_smp_processor_id()];
	struct kvm_dirty_log log = { .slot = slot_number(args->as_id, args->slot), .dirty_bitmap = bitmap };
	struct kvm_memory_slot *slot = slot_of(args->as_id, args->slot);
	u64 gfn = slot ? slot->base_gfn : 0, npages = slot ? slot->npages : 0;
	long i, r = machine_ioctl(KVM_GET_DIRTY_LOG, &log);

	put_outcome(r);
	if (r)
		return;
	sched_point(POINT_WRITE, history);
	record_bits(EVENT_LOGGED, log.slot, gfn, bitmap, npages);
	for (i = 0; i < DIV_ROUND_UP(npages, 64); i++)
		put_outcome_bits(bitmap[i]);
}

static noinline void clear_dirty_log(const struct clear_dirty_log_arguments *args)
{
	u64 mask = args->mask;
	struct kvm_clear_dirty_log log = {
		.slot = slot_number(args->as_id, args->slot),
		.first_page = args->first,
		.num_pages = args->npages,
		.dirty_bitmap = &mask,
	};

	put_outcome(machine_ioctl(KVM_CLEAR_DIRTY_LOG, &log));
	sched_point(POINT_WRITE, history);
	record_event(EVENT_CLEARED, 1, (u64)log.slot);
}

static noinline void enter(const struct enter_arguments *args)
{
	put_outcome(guest_enter(machine_vcpu(args->vcpu)));
}

static noinline void access(const struct access_arguments *args)
{
	guest_access(machine_vcpu(args->vcpu), args->gfn, args->kind);
}

static noinline void faults(const struct faults_arguments *args)
{
	put_outcome(guest_faults(machine_vcpu(args->vcpu), args->gfn, args->npages, args->n));
}

static noinline void smm(const struct smm_arguments *args)
{
	guest_smm(machine_vcpu(args->vcpu), args->on);
}

#define HOST(name, step)						\
static void name(const struct name##_arguments *args)		\
{									\
	put_outcome(env_host_step(step, (const unsigned long *)args));		\
}
HOST(mmap, HOST_MMAP)
HOST(touch, HOST_TOUCH)
HOST(madvise_dontneed, HOST_DONTNEED)
HOST(wrprotect, HOST_WRPROTECT)
HOST(ksm_merge, HOST_KSM_MERGE)
HOST(collapse, HOST_COLLAPSE)
HOST(change_pte, HOST_CHANGE_PTE)
HOST(mremap, HOST_MREMAP)

static noinline void take_marks(const struct take_marks_arguments *args)
{
	put_outcome(host_take_marks(args->page));
}

static noinline void notifier_start(const struct notifier_start_arguments *args)
{
	env_range_start(args->page, args->npages, MMU_NOTIFY_CLEAR);
	put_outcome(0);
}

static noinline void notifier_end(const struct notifier_end_arguments *args)
{
	env_range_end(args->page, args->npages, MMU_NOTIFY_CLEAR);
	put_outcome(0);
}

static unsigned long address(unsigned long page)
{
	return ENV_HOST_BASE + (page << PAGE_SHIFT);
}

static noinline void clear_flush_young(const struct clear_flush_young_arguments *args)
{
	put_outcome(env_notifier->ops->clear_flush_young(env_notifier, current->mm, address(args->page),
						 address(args->page + args->npages)));
}

static noinline void clear_young(const struct clear_young_arguments *args)
{
	put_outcome(env_notifier->ops->clear_young(env_notifier, current->mm, address(args->page),
					   address(args->page + args->npages)));
}

static noinline void test_young(const struct test_young_arguments *args)
{
	put_outcome(env_notifier->ops->test_young(env_notifier, current->mm, address(args->page)));
}

static noinline void set_nx_huge_pages(const struct set_nx_huge_pages_arguments *args)
{
	put_outcome(env_set_parameter("nx_huge_pages", args->on ? "Y" : "N"));
}

static noinline void recover_nx_huge_pages(const struct recover_nx_huge_pages_arguments *args)
{
	recover(machine_kvm);
	put_outcome(0);
}

static noinline void set_generation(const struct set_generation_arguments *args)
{
	int as_id;

	mutex_lock(&machine_kvm->slots_lock);
	for (as_id = 0; as_id < 2; as_id++)
		__kvm_memslots(machine_kvm, as_id)->generation = args->value + as_id;
	mutex_unlock(&machine_kvm->slots_lock);
	put_outcome(0);
}

static noinline void walk_begin(const struct walk_begin_arguments *args)
{
	walker_begin(machine_vcpu(args->vcpu), args->gfn);
}

static noinline void walk_next(const struct walk_next_arguments *args)
{
	walker_next();
}

static noinline void walk_end(const struct walk_end_arguments *args)
{
	walker_end();
}

static noinline void grace_period(const struct grace_period_arguments *args)
{
	put_outcome(env_grace_period());
}

static noinline void resched(const struct resched_arguments *args)
{
	env_set_need_resched(args->on);
	put_outcome(0);
}

/* A memslot is deleted, and when KVM first yields while it zaps the roots, another task discards pages. */
static struct {
	struct madvise_dontneed_arguments range;
	long seen[4];
} unmapping;

static void unmap_while_away(void)
{
	int i;

	env_host_step(HOST_DONTNEED, (const unsigned long *)&unmapping.range);
	unmapping.seen[0] = 1;
	for (i = 0; i < 3; i++)
		unmapping.seen[i + 1] = pages_mapped(machine_kvm, i);
}

static noinline void delete_while_unmapping(const struct delete_while_unmapping_arguments *args)
{
	const struct set_memory_region_arguments deletion = { .slot = args->slot, .as_id = args->as_id };
	bool resched = test_tsk_need_resched(current);
	int i;

	memset(&unmapping, 0, sizeof(unmapping));
	unmapping.range.page = args->page;
	unmapping.range.npages = args->npages;
	env_while_away = unmap_while_away;
	env_set_need_resched(true);
	set_memory_region(&deletion);
	env_set_need_resched(resched);
	env_while_away = NULL;
	for (i = 0; i < 4; i++)
		put_outcome(unmapping.seen[i]);
}

static noinline void set_nr_mmu_pages(const struct set_nr_mmu_pages_arguments *args)
{
	put_outcome(machine_ioctl(KVM_SET_NR_MMU_PAGES, (void *)args->n));
}

static noinline void set_sregs(const struct set_sregs_arguments *args)
{
	put_outcome(control_set_sregs(args));
}

/* Userspace knows where its memslots are. */
static noinline void store(const struct store_arguments *args)
{
	int srcu = srcu_read_lock(&machine_kvm->srcu);
	unsigned long at = gfn_to_hva(machine_kvm, args->gfn);
	u64 value = args->value;

	srcu_read_unlock(&machine_kvm->srcu, srcu);
	put_outcome(kvm_is_error_hva(at) ? -EFAULT : put_user(value, (u64 __user *)at + args->index));
}

static noinline void execute(const struct execute_arguments *args)
{
	guest_execute(args);
}

static noinline void set_cr0(const struct set_cr0_arguments *args)
{
	put_outcome(control_set_cr0(machine_vcpu(args->vcpu), args->value));
}

static noinline void set_cr3(const struct set_cr3_arguments *args)
{
	put_outcome(control_set_cr3(machine_vcpu(args->vcpu), args->value));
}

static noinline void set_cr4(const struct set_cr4_arguments *args)
{
	put_outcome(control_set_cr4(machine_vcpu(args->vcpu), args->value));
}

static noinline void set_efer(const struct set_efer_arguments *args)
{
	put_outcome(control_set_efer(machine_vcpu(args->vcpu), args->value));
}

static noinline void invlpg(const struct invlpg_arguments *args)
{
	control_invlpg(machine_vcpu(args->vcpu), args->address);
}

static noinline void invpcid(const struct invpcid_arguments *args)
{
	put_outcome(control_invpcid(machine_vcpu(args->vcpu), args->type, args->address));
}

static noinline void enter_l2(const struct enter_l2_arguments *args)
{
	nested_enter(args);
}

static noinline void leave_l2(const struct leave_l2_arguments *args)
{
	nested_leave(machine_vcpu(args->vcpu));
}

static noinline void invept(const struct invept_arguments *args)
{
	nested_invept(machine_vcpu(args->vcpu));
}

static noinline void destroy(const struct destroy_arguments *args)
{
	long leaked[3];
	int i;

	walker_end();
	machine_destroy(leaked);
	for (i = 0; i < 3; i++)
		put_outcome(leaked[i]);
}

void machine_do(unsigned long step, const unsigned long *args)
{
	switch (step) {
#define DO(name) case STEP_##name: name((const void *)args); break;
	STEPS(DO)
#undef DO
	}
	env_run_works();
	env_locks_at_end_of_step();
}

/* Python prevents a step without a machine, and one with an unknown vCPU. */
void machine_step(unsigned long step, const unsigned long *args)
{
	begin_observation();
	vendor_flushes.nr = 0;
	env_begin_step();
	machine_do(step, args);
	observe_machine();
	copy_raw_state();
}
