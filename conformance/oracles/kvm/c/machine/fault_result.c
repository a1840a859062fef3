// SPDX-License-Identifier: GPL-2.0-only
/* How KVM handled a page fault: from what it counts, or else from what its page fault handler returned. */
#include <linux/kvm_host.h>
#include "fault_result.h"
#include "processor.h"
#include "mmu.h"
#include "mmu/mmu_internal.h"

/* As vmx and svm do. */
static int handle(struct kvm_vcpu *vcpu, u64 address, u64 error_code)
{
	if (env_host[HOST_TDP])
		return kvm_mmu_page_fault(vcpu, address, error_code, NULL, 0);
	return kvm_handle_page_fault(vcpu, error_code, address, NULL, 0);
}

#ifdef HAVE_PF_STATISTICS
int observed_page_fault(struct kvm_vcpu *vcpu, u64 address, u64 error_code, struct fault_result *result)
{
	u64 fixed = vcpu->stat.pf_fixed, spurious = vcpu->stat.pf_spurious;
	int r = handle(vcpu, address, error_code);

	result->fixed = vcpu->stat.pf_fixed != fixed;
	result->spurious = vcpu->stat.pf_spurious != spurious;
	return r;
}
#else
static typeof(((struct kvm_mmu *)0)->page_fault) handler;
static int returned;

static int noted(struct kvm_vcpu *vcpu, gpa_t address, u32 error_code, bool prefault)
{
	returned = handler(vcpu, address, error_code, prefault);
	return returned;
}

int observed_page_fault(struct kvm_vcpu *vcpu, u64 address, u64 error_code, struct fault_result *result)
{
	struct kvm_mmu *mmu = vcpu->arch.mmu;
	int r;

	returned = RET_PF_RETRY;
	handler = mmu->page_fault;
	mmu->page_fault = noted;
	r = handle(vcpu, address, error_code);
	mmu->page_fault = handler;
	result->fixed = returned == RET_PF_FIXED;
	result->spurious = returned == RET_PF_SPURIOUS;
	return r;
}
#endif
