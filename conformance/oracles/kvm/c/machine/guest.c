// SPDX-License-Identifier: GPL-2.0-only
/* A vCPU that runs: what KVM does for the MMU before it enters the guest, the guest's access, and its exits. */
#include <linux/kvm_host.h>
#include "host/notifiers.h"
#include "interface.h"
#include "process/address_space.h"
#include "process/observe.h"
#include "process/scheduler.h"
#include "emulation.h"
#include "fault_result.h"
#include "guest.h"
#include "kernel/cpu.h"
#include "kvm_shape.h"
#include "machine.h"
#include "nested.h"
#include "processor.h"
#include "mmu.h"
#include "mmu/mmu_internal.h"
#include "x86.h"

/* In a race, other threads may cause further exits. */
#define MAX_EXITS	(racing() ? 8 : 4)

const struct guest_hooks *guest_hooks;

/* As vmx does on each exit. */
static void drain_pml(struct kvm_vcpu *vcpu)
{
	struct processor *cpu = &processors[vcpu->vcpu_idx];

	while (cpu->nr_pml)
		kvm_vcpu_mark_page_dirty(vcpu, cpu->pml[--cpu->nr_pml]);
}

/* What vcpu_enter_guest() and vcpu_run() do for the MMU, in their order. */
static int enter(struct kvm_vcpu *vcpu)
{
	int r;

	drain_pml(vcpu);
	if (unlikely(guest_hooks))
		guest_hooks->serve_other_requests(vcpu);
	if (kvm_request_pending(vcpu)) {
		if (kvm_test_request(KVM_REQ_VM_DEAD, vcpu))
			return -EIO;
		if (kvm_check_request(KVM_REQ_MMU_FREE_OBSOLETE_ROOTS, vcpu))
			kvm_mmu_free_obsolete_roots(vcpu);
		if (kvm_check_request(KVM_REQ_MMU_SYNC, vcpu))
			kvm_mmu_sync_roots(vcpu);
		if (kvm_check_request(KVM_REQ_LOAD_MMU_PGD, vcpu))
			kvm_mmu_load_pgd(vcpu);
		if (kvm_check_request(KVM_REQ_TLB_FLUSH, vcpu)) {
			kvm_vcpu_flush_tlb_all(vcpu);
			/* To flush all is to flush the current context as well. */
			kvm_clear_request(KVM_REQ_TLB_FLUSH_CURRENT, vcpu);
		}
		kvm_service_local_tlb_flush_requests(vcpu);
#ifdef KVM_REQ_UPDATE_CPU_DIRTY_LOGGING
		if (kvm_check_request(KVM_REQ_UPDATE_CPU_DIRTY_LOGGING, vcpu))
			static_call_cond(kvm_x86_update_cpu_dirty_logging)(vcpu);
#endif
	}
	r = kvm_mmu_reload(vcpu);
	/* The root of the guest's tables is not in its memory: before v6.6 KVM shuts it down. */
	if (r > 0)
		kvm_clear_request(KVM_REQ_TRIPLE_FAULT, vcpu);
	return r;
}

/* Whether serving a request has made another that enter() serves, as kvm_vcpu_exit_request() asks before the entry. */
static bool has_requests(struct kvm_vcpu *vcpu)
{
	return kvm_test_request(KVM_REQ_MMU_FREE_OBSOLETE_ROOTS, vcpu) || kvm_test_request(KVM_REQ_MMU_SYNC, vcpu) ||
	       kvm_test_request(KVM_REQ_LOAD_MMU_PGD, vcpu) || kvm_test_request(KVM_REQ_TLB_FLUSH, vcpu) ||
	       kvm_test_request(KVM_REQ_TLB_FLUSH_CURRENT, vcpu) || kvm_test_request(KVM_REQ_TLB_FLUSH_GUEST, vcpu);
}

int guest_enter(struct kvm_vcpu *vcpu)
{
	int r;

	vcpu_load(vcpu);
	kvm_vcpu_srcu_read_lock(vcpu);
	do
		r = enter(vcpu);
	while (!r && has_requests(vcpu));
	kvm_vcpu_srcu_read_unlock(vcpu);
	vcpu_put(vcpu);
	return r;
}

/* How KVM handled an exit. */
int guest_handle_exit(struct kvm_vcpu *vcpu, u64 address, struct exit *exit, int *returned)
{
	struct fault_result result;
	int code = EXIT_RETRY;

	*returned = observed_page_fault(vcpu, address, exit->error_code, &result);
	if (*returned < 0)
		return *returned;
	if (emulation_reached(vcpu))
		code = EXIT_EMULATE;
	else if (result.fixed)
		code = EXIT_FIXED;
	else if (result.spurious)
		code = EXIT_SPURIOUS;
	return code + (exit->misconfigured ? EXIT_MMIO : 0);
}

/*
 * In a race, the vCPU leaves the guest after each instruction, and takes no interrupt before.  As vcpu_enter_guest()
 * enters, with a second check of the requests, and leaves.
 */
static noinline void exit_guest(struct kvm_vcpu *vcpu)
{
	if (!racing())
		return;
	vcpu->mode = OUTSIDE_GUEST_MODE;
	guest_hooks->leave_guest(smp_processor_id());
	preempt_enable_no_resched();
	kvm_vcpu_srcu_read_lock(vcpu);
	drain_pml(vcpu);
}

static noinline bool enter_guest(struct kvm_vcpu *vcpu)
{
	if (!racing())
		return !has_requests(vcpu);
	preempt_disable();
	guest_hooks->enter_guest(smp_processor_id());
	smp_store_release(&vcpu->mode, IN_GUEST_MODE);
	kvm_vcpu_srcu_read_unlock(vcpu);
	if (READ_ONCE(vcpu->mode) != EXITING_GUEST_MODE && !kvm_request_pending(vcpu))
		return true;
	exit_guest(vcpu);
	return false;
}

static bool is_invalidation_over(const void *kvm, u64 since)
{
	return !container_of(kvm, struct kvm, mmu_invalidate_in_progress)->mmu_invalidate_in_progress ||
	       guest_hooks->alone();
}

/* That is, an invalidation is in progress that no other thread will end. */
bool guest_never_ends(struct kvm_vcpu *vcpu)
{
	struct kvm *kvm = vcpu->kvm;

	if (!kvm->mmu_invalidate_in_progress)
		return false;
	if (racing()) {
		kvm_vcpu_srcu_read_unlock(vcpu);
		sched_wait(&kvm->mmu_invalidate_in_progress, is_invalidation_over, 0);
		kvm_vcpu_srcu_read_lock(vcpu);
	}
	return kvm->mmu_invalidate_in_progress;
}

static __always_inline int run(struct kvm_vcpu *vcpu)
{
	int r;

	do
		r = enter(vcpu);
	while (!r && !enter_guest(vcpu));
	return r;
}

int guest_run(struct kvm_vcpu *vcpu)
{
	return run(vcpu);
}

static __always_inline void leave(struct kvm_vcpu *vcpu, bool exits)
{
	exit_guest(vcpu);
	if (exits || processors[vcpu->vcpu_idx].nr_pml == PML_ENTRIES)
		drain_pml(vcpu);
}

void guest_leave(struct kvm_vcpu *vcpu, bool exits)
{
	leave(vcpu, exits);
}

/* One instruction of the guest, until it completes, is emulated, or KVM makes no progress with it. */
static int access(struct kvm_vcpu *vcpu, u64 gfn, int kind)
{
	struct processor *cpu = &processors[vcpu->vcpu_idx];
	const struct reference ref = { .page = gfn, .kind = kind };
	struct exit exit;
	int exits, r, result;
	u64 unused[3];
	bool through;

	emulation_expect(vcpu, NULL);
	for (exits = 0; exits < MAX_EXITS; exits++) {
		r = run(vcpu);
		/* A shutdown of the guest. */
		if (r > 0)
			return END_USERSPACE;
		if (!r) {
			through = processor_access(cpu, &ref, &exit);
			leave(vcpu, !through);
			if (through)
				return END_DONE;
			r = guest_handle_exit(vcpu, gfn << PAGE_SHIFT, &exit, &result);
		}
		put_outcome(r);
		if (r < 0)
			return END_FAILED;
		if (nested_take_exit(vcpu, unused))
			return END_NESTED_EXIT;
		if (emulation_reached(vcpu))
			return END_EMULATED;
		if (r % EXIT_MMIO == EXIT_RETRY && guest_never_ends(vcpu))
			return END_GAVE_UP;
	}
	return END_GAVE_UP;
}

void guest_access(struct kvm_vcpu *vcpu, u64 gfn, int kind)
{
	/* With shadow paging the guest has linear addresses only, see guest_execute(). */
	if (!env_host[HOST_TDP]) {
		put_outcome(-EINVAL);
		put_outcome(END_FAILED);
		return;
	}
	vcpu_load(vcpu);
	kvm_vcpu_srcu_read_lock(vcpu);
	put_outcome(access(vcpu, gfn, kind));
	kvm_vcpu_srcu_read_unlock(vcpu);
	vcpu_put(vcpu);
}

long guest_faults(struct kvm_vcpu *vcpu, u64 gfn, u64 npages, long n)
{
	unsigned long page;
	struct exit exit;
	long fault = 0;
	int result;
	u64 i;

	emulation_expect(vcpu, NULL);
	vcpu_load(vcpu);
	while (fault < n) {
		kvm_vcpu_srcu_read_lock(vcpu);
		page = (gfn_to_hva(vcpu->kvm, gfn) - ENV_HOST_BASE) >> PAGE_SHIFT;
		for (i = 0; i < npages && fault < n && !enter(vcpu); i++) {
			struct reference ref = { .page = gfn + i, .kind = ACCESS_WRITE };

			if (!processor_access(&processors[vcpu->vcpu_idx], &ref, &exit)) {
				guest_handle_exit(vcpu, (gfn + i) << PAGE_SHIFT, &exit, &result);
				fault++;
			}
			processors[vcpu->vcpu_idx].nr_tlb = 0;
		}
		kvm_vcpu_srcu_read_unlock(vcpu);
		env_range_start(page, npages, MMU_NOTIFY_CLEAR);
		env_range_end(page, npages, MMU_NOTIFY_CLEAR);
	}
	vcpu_put(vcpu);
	return fault;
}

/* As kvm_smm_changed() for the MMU. */
void guest_smm(struct kvm_vcpu *vcpu, bool on)
{
	vcpu_load(vcpu);
	if (on)
		vcpu->arch.hflags |= HF_SMM_MASK;
	else
		vcpu->arch.hflags &= ~HF_SMM_MASK;
	kvm_mmu_reset_context(vcpu);
	vcpu_put(vcpu);
}

/*
 * A vCPU is kicked: if it were running it would leave the guest and drain its page modification log, on which
 * kvm_arch_sync_dirty_log() relies.
 */
int rcuwait_wake_up(struct rcuwait *wait)
{
	struct task_struct *task = rcu_access_pointer(wait->task);
	int i;

	if (racing()) {
		if (task) {
			sched_point(POINT_RMW, task);
			WRITE_ONCE(task_state(task), TASK_RUNNING);
		}
		return !!task;
	}
	for (i = 0; i < machine_nr_vcpus; i++) {
		struct kvm_vcpu *vcpu = machine_vcpu(i);

		if (kvm_arch_vcpu_get_wait(vcpu) != wait || !processors[i].nr_pml)
			continue;
		vcpu_load(vcpu);
		kvm_vcpu_srcu_read_lock(vcpu);
		drain_pml(vcpu);
		kvm_vcpu_srcu_read_unlock(vcpu);
		vcpu_put(vcpu);
	}
	return 0;
}
