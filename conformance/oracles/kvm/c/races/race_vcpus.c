// SPDX-License-Identifier: GPL-2.0-only
/* vCPUs in a race: vCPU n has CPU n, and serves requests that concern the MMU only. */
#include <linux/kvm_host.h>
#include "machine/machine.h"
#include "racing.h"
#include "mmu.h"
#include "mmu/mmu_internal.h"

#define BIT_OF(request)	(1ULL << ((request) & KVM_REQUEST_MASK))
#define OF_THE_MMU							\
	(BIT_OF(KVM_REQ_VM_DEAD) | BIT_OF(KVM_REQ_MMU_FREE_OBSOLETE_ROOTS) | BIT_OF(KVM_REQ_MMU_SYNC) |	\
	 BIT_OF(KVM_REQ_LOAD_MMU_PGD) | BIT_OF(KVM_REQ_TLB_FLUSH) | BIT_OF(KVM_REQ_TLB_FLUSH_CURRENT) |	\
	 BIT_OF(KVM_REQ_TLB_FLUSH_GUEST) | BIT_OF(KVM_REQ_UPDATE_CPU_DIRTY_LOGGING))

/* Requests for steal time, clocks and the like, which x86.c would serve, are dropped. */
void race_serve_other_requests(struct kvm_vcpu *vcpu)
{
	if (racing())
		vcpu->requests &= OF_THE_MMU;
}

static bool is_walk_over(const void *mode, u64 since)
{
	return *(const int *)mode != READING_SHADOW_PAGE_TABLES;
}

/* Without mmu_lock shadow pages are walked with interrupts disabled, which an interrupt for the CPU waits for. */
void race_wait_for_walk(int cpu, const void *caller)
{
	struct kvm_vcpu *vcpu = machine_vcpu(cpu);

	if (vcpu && !is_walk_over(&vcpu->mode, 0))
		race_wait(POINT_WAIT, &vcpu->mode, is_walk_over, 0, caller);
}

void race_prepare_vcpus(void)
{
	struct kvm_mmu_page *root;
	int i;

	env_bring_up(MAX_CPUS);
	for (i = 0; i < machine_nr_vcpus; i++) {
		machine_vcpu(i)->cpu = i;
		machine_vcpu(i)->requests &= OF_THE_MMU;
	}
	/* The list is initialised only with the TDP MMU. */
	if (env_has_tdp_mmu())
		list_for_each_entry(root, &machine_kvm->arch.tdp_mmu_roots, link)
			race_share_root(root);
	race_note_frames();
	race_forget_frames();
}
