// SPDX-License-Identifier: GPL-2.0-only
/* The steps: what can be done to a machine, each with its arguments' names.  Python reads this table. */
#include <linux/kvm_host.h>
#include "racing.h"
#include "mmu.h"
#include "mmu/mmu_internal.h"

/* Static in mmu.c. */
#ifdef HAVE_kvm_recover_nx_lpages
void kvm_recover_nx_lpages(struct kvm *kvm);
#define recover_nx_huge_pages(kvm)	kvm_recover_nx_lpages(kvm)
#elif defined(HAVE_RECOVER_NX_MMU_TYPE)
void kvm_recover_nx_huge_pages(struct kvm *kvm, const enum kvm_mmu_type type);
#define recover_nx_huge_pages(kvm)	kvm_recover_nx_huge_pages(kvm, KVM_TDP_MMU)
#else
void kvm_recover_nx_huge_pages(struct kvm *kvm);
#define recover_nx_huge_pages(kvm)	kvm_recover_nx_huge_pages(kvm)
#endif

static struct kvm_memory_slot *slot_of(const unsigned long *args)
{
	/* Without being a reader: in a race nobody is let in between this and the ioctl that follows. */
	return args[1] > 1 ? NULL : id_to_memslot(rcu_dereference_raw(machine_kvm->memslots[args[1]]), args[0]);
}

static void set_memory_region(const unsigned long *args)
{
	struct kvm_memory_slot *old = slot_of(args);
	bool goes = old && (!args[3] || old->base_gfn != args[2]);
	bool reached = goes && race_reaches(old->base_gfn, old->npages);
	long r;
	struct kvm_userspace_memory_region region = {
		.slot = args[0] | args[1] << 16,
		.guest_phys_addr = args[2] << PAGE_SHIFT,
		.memory_size = args[3] << PAGE_SHIFT,
		.userspace_addr = ENV_HOST_BASE + (args[4] << PAGE_SHIFT),
		.flags = args[5],
	};

	/* KVM would wait for the end of the invalidation, which can only come with a later step. */
	if (machine_kvm->mn_active_invalidate_count && !racing()) {
		say(-EAGAIN);
		return;
	}
	r = machine_ioctl(KVM_SET_USER_MEMORY_REGION, &region);
	say(r);
	if (r || !goes)
		return;
	/* When it goes makes a difference to accesses only. */
	if (reached)
		race_point(RACE_WRITE, race_history);
	race_event(EVENT_SLOT_GONE, 1, args[0] | args[1] << 16);
}

static void get_dirty_log(const unsigned long *args)
{
	static u64 bitmaps[NR_TASKS][ENV_HOST_PAGES / 64];
	u64 *bitmap = bitmaps[raw_smp_processor_id()];
	struct kvm_dirty_log log = { .slot = args[0] | args[1] << 16, .dirty_bitmap = bitmap };
	struct kvm_memory_slot *slot = slot_of(args);
	u64 gfn = slot ? slot->base_gfn : 0, npages = slot ? slot->npages : 0;
	long i, r = machine_ioctl(KVM_GET_DIRTY_LOG, &log);

	say(r);
	if (r)
		return;
	race_point(RACE_WRITE, race_history);
	race_event_bits(EVENT_LOGGED, log.slot, gfn, bitmap, npages);
	for (i = 0; i < DIV_ROUND_UP(npages, 64); i++)
		say_bits(bitmap[i]);
}

static void clear_dirty_log(const unsigned long *args)
{
	u64 mask = args[4];
	struct kvm_clear_dirty_log log = {
		.slot = args[0] | args[1] << 16,
		.first_page = args[2],
		.num_pages = args[3],
		.dirty_bitmap = &mask,
	};

	say(machine_ioctl(KVM_CLEAR_DIRTY_LOG, &log));
	race_point(RACE_WRITE, race_history);
	race_event(EVENT_CLEARED, 1, (u64)log.slot);
}

static void enter(const unsigned long *args)
{
	say(guest_enter(machine_vcpu(args[0])));
}

static void access(const unsigned long *args)
{
	guest_access(machine_vcpu(args[0]), args[1], args[2]);
}

static void faults(const unsigned long *args)
{
	say(guest_faults(machine_vcpu(args[0]), args[1], args[2], args[3]));
}

static void smm(const unsigned long *args)
{
	guest_smm(machine_vcpu(args[0]), args[1]);
}

#define HOST(name, step)						\
static void name(const unsigned long *args)				\
{									\
	say(env_host_step(step, args));					\
}
HOST(host_mmap, HOST_MMAP)
HOST(host_touch, HOST_TOUCH)
HOST(madvise_dontneed, HOST_DONTNEED)
HOST(wrprotect, HOST_WRPROTECT)
HOST(ksm_merge, HOST_KSM_MERGE)
HOST(collapse, HOST_COLLAPSE)
HOST(change_pte, HOST_CHANGE_PTE)

static void notifier_start(const unsigned long *args)
{
	env_range_start(args[0], args[1], MMU_NOTIFY_CLEAR);
	say(0);
}

static void notifier_end(const unsigned long *args)
{
	env_range_end(args[0], args[1], MMU_NOTIFY_CLEAR);
	say(0);
}

static unsigned long address(unsigned long page)
{
	return ENV_HOST_BASE + (page << PAGE_SHIFT);
}

static void clear_flush_young(const unsigned long *args)
{
	say(env_notifier->ops->clear_flush_young(env_notifier, current->mm, address(args[0]),
						 address(args[0] + args[1])));
}

static void clear_young(const unsigned long *args)
{
	say(env_notifier->ops->clear_young(env_notifier, current->mm, address(args[0]),
					   address(args[0] + args[1])));
}

static void test_young(const unsigned long *args)
{
	say(env_notifier->ops->test_young(env_notifier, current->mm, address(args[0])));
}

static void set_nx_huge_pages(const unsigned long *args)
{
	say(env_set_parameter("nx_huge_pages", args[0] ? "Y" : "N"));
}

static void recover(const unsigned long *args)
{
	recover_nx_huge_pages(machine_kvm);
	say(0);
}

static void set_generation(const unsigned long *args)
{
	int as_id;

	mutex_lock(&machine_kvm->slots_lock);
	for (as_id = 0; as_id < 2; as_id++)
		__kvm_memslots(machine_kvm, as_id)->generation = args[0] + as_id;
	mutex_unlock(&machine_kvm->slots_lock);
	say(0);
}

static void walk_begin(const unsigned long *args)
{
	walker_begin(machine_vcpu(args[0]), args[1]);
}

static void walk_next(const unsigned long *args)
{
	walker_next();
}

static void walk_end(const unsigned long *args)
{
	walker_end();
}

static void grace_period(const unsigned long *args)
{
	say(env_grace_period());
}

static void resched(const unsigned long *args)
{
	env_set_need_resched(args[0]);
	say(0);
}

/* A memslot goes, and when KVM first gives way while zapping the roots, another task gives pages back. */
static struct {
	unsigned long range[2];
	long seen[4];
} unmapping;

static void unmap_while_away(void)
{
	int i;

	env_host_step(HOST_DONTNEED, unmapping.range);
	unmapping.seen[0] = 1;
	for (i = 0; i < 3; i++)
		unmapping.seen[i + 1] = atomic64_read(&machine_kvm->stat.pages[i]);
}

static void delete_while_unmapping(const unsigned long *args)
{
	const unsigned long nothing[6] = { args[0], args[1] };
	bool resched = test_tsk_need_resched(current);
	int i;

	memset(&unmapping, 0, sizeof(unmapping));
	unmapping.range[0] = args[2];
	unmapping.range[1] = args[3];
	env_while_away = unmap_while_away;
	env_set_need_resched(true);
	set_memory_region(nothing);
	env_set_need_resched(resched);
	env_while_away = NULL;
	for (i = 0; i < 4; i++)
		say(unmapping.seen[i]);
}

static void destroy(const unsigned long *args)
{
	long leaked[3];
	int i;

	walker_end();
	machine_destroy(leaked);
	for (i = 0; i < 3; i++)
		say(leaked[i]);
}

/* In each a name, then the names of its arguments. */
static const struct step {
	const char *usage;
	void (*run)(const unsigned long *args);
} steps[] = {
	{ "mmap page npages writable level", host_mmap },
	{ "touch page write", host_touch },
	{ "madvise_dontneed page npages", madvise_dontneed },
	{ "wrprotect page npages", wrprotect },
	{ "ksm_merge page", ksm_merge },
	{ "collapse page", collapse },
	{ "change_pte page", change_pte },
	{ "notifier_start page npages", notifier_start },
	{ "notifier_end page npages", notifier_end },
	{ "clear_flush_young page npages", clear_flush_young },
	{ "clear_young page npages", clear_young },
	{ "test_young page", test_young },
	{ "set_memory_region slot as_id gfn npages page flags", set_memory_region },
	{ "get_dirty_log slot as_id", get_dirty_log },
	{ "clear_dirty_log slot as_id first npages mask", clear_dirty_log },
	{ "enter vcpu", enter },
	{ "access vcpu gfn kind", access },
	{ "faults vcpu gfn npages n", faults },
	{ "smm vcpu on", smm },
	{ "set_nx_huge_pages on", set_nx_huge_pages },
	{ "recover_nx_huge_pages", recover },
	{ "set_generation value", set_generation },
	{ "walk_begin vcpu gfn", walk_begin },
	{ "walk_next", walk_next },
	{ "walk_end", walk_end },
	{ "grace_period", grace_period },
	{ "resched on", resched },
	{ "delete_while_unmapping slot as_id page npages", delete_while_unmapping },
	{ "destroy", destroy },
};

__attribute__((visibility("default"))) const char *kvm_step_usage(unsigned long index)
{
	return index < ARRAY_SIZE(steps) ? steps[index].usage : NULL;
}

void machine_do(unsigned long step, const unsigned long *args)
{
	steps[step].run(args);
	env_run_works();
	env_locks_at_end_of_step();
}

/* A step that needs a machine and finds none, or an unknown vCPU, is for Python to prevent. */
void machine_step(unsigned long step, const unsigned long *args)
{
	say_nothing_yet();
	kept_nothing_yet();
	machine_do(step, args);
	observe();
	keep();
}
