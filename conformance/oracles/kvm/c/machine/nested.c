// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests of the guest, as vmx/nested.c and svm/nested.c set up the MMU for them.  L1 uses no VPID.  L2 is in protected
 * mode without paging, so that its addresses are those that L1's nested tables translate.
 */
#include <linux/kvm_host.h>
#include "interface.h"
#include "kernel/cpu.h"
#include "kvm_shape.h"
#include "machine.h"
#include "nested.h"
#include "processor.h"
#include "mmu.h"
#include "x86.h"

static struct nested {
	/* L1's registers, and its EPTP or nested CR3. */
	unsigned long cr0, cr3, cr4;
	u64 efer, pgd;
	bool exits;
	u64 exit[3];
} vcpus[MAX_VCPUS];
static bool used;

bool nested_is_used(void)
{
	return used;
}

static struct nested *nested_of(struct kvm_vcpu *vcpu)
{
	return &vcpus[vcpu->vcpu_idx];
}

static unsigned long get_guest_pgd(struct kvm_vcpu *vcpu)
{
	return nested_of(vcpu)->pgd;
}

/* NPT of an L1 in PAE mode: PDPTEs are in memory.  EPT has none. */
static u64 get_pdptr(struct kvm_vcpu *vcpu, int index)
{
	u64 pgd = nested_of(vcpu)->pgd, pdpte;
	int offset = (pgd & GENMASK(11, 5)) + index * 8;

	return kvm_vcpu_read_guest_page(vcpu, pgd >> PAGE_SHIFT, &pdpte, offset, 8) ? 0 : pdpte;
}

/* With NPT, KVM does not fill in the qualification, nor does it for an EPT misconfiguration. */
static void inject(struct kvm_vcpu *vcpu, struct x86_exception *fault, u64 qualification)
{
	struct nested *nested = nested_of(vcpu);
	bool qualified = env_host[HOST_EPT] && !(fault->error_code & PFERR_RSVD_MASK);

	nested->exits = true;
	nested->exit[0] = fault->error_code;
	nested->exit[1] = fault->address;
	nested->exit[2] = qualified ? qualification : 0;
}

#if defined(HAVE_FAULT_FROM_HARDWARE)
static void inject_page_fault(struct kvm_vcpu *vcpu, struct x86_exception *fault, bool from_hardware)
{
	inject(vcpu, fault, fault->exit_qualification);
}
#elif defined(HAVE_FAULT_QUALIFICATION)
static void inject_page_fault(struct kvm_vcpu *vcpu, struct x86_exception *fault)
{
	inject(vcpu, fault, fault->exit_qualification);
}
#else
static void inject_page_fault(struct kvm_vcpu *vcpu, struct x86_exception *fault)
{
	inject(vcpu, fault, vcpu->arch.exit_qualification);
}
#endif

bool nested_has_exit(struct kvm_vcpu *vcpu)
{
	return nested_of(vcpu)->exits;
}

bool nested_take_exit(struct kvm_vcpu *vcpu, u64 words[3])
{
	struct nested *nested = nested_of(vcpu);

	if (!nested->exits)
		return false;
	nested->exits = false;
	memcpy(words, nested->exit, sizeof(nested->exit));
	return true;
}

/* The format of L1's tables: of EPT as L1's EPTP and the processor have it, of NPT as L1's own control registers. */
static void init_shadow_mmu(struct kvm_vcpu *vcpu, bool ad, bool exec_only)
{
	u64 pgd = nested_of(vcpu)->pgd;

#if defined(HAVE_SKIP_TLB_FLUSH)
	if (env_host[HOST_EPT]) {
		kvm_init_shadow_ept_mmu(vcpu, exec_only, ad, pgd);
	} else {
		kvm_init_shadow_npt_mmu(vcpu, X86_CR0_PG, vcpu->arch.cr4, vcpu->arch.efer, pgd);
		reset_shadow_zero_bits_mask(vcpu, vcpu->arch.mmu);
	}
#elif defined(HAVE_MBEC)
	if (env_host[HOST_EPT])
		kvm_init_shadow_ept_mmu(vcpu, exec_only, PG_LEVEL_1G, ad, false, pgd);
	else
		kvm_init_shadow_npt_mmu(vcpu, vcpu->arch.cr4, vcpu->arch.efer, pgd, 0);
#else
	if (env_host[HOST_EPT])
		kvm_init_shadow_ept_mmu(vcpu, exec_only, PG_LEVEL_1G, ad, pgd);
	else
		kvm_init_shadow_npt_mmu(vcpu, X86_CR0_PG, vcpu->arch.cr4, vcpu->arch.efer, pgd);
#endif
}

/* What walks L1's tables. */
#ifdef HAVE_PAGEWALK
#define nested_walk(vcpu)	(&(vcpu)->arch.ngpa_walk)
#else
#define nested_walk(vcpu)	(&(vcpu)->arch.guest_mmu)
#endif

static void init_mmu(struct kvm_vcpu *vcpu, bool ad, bool exec_only)
{
	typeof(nested_walk(vcpu)) walk = nested_walk(vcpu);

	vcpu->arch.mmu = &vcpu->arch.guest_mmu;
	init_shadow_mmu(vcpu, ad, exec_only);
	walk->get_guest_pgd = get_guest_pgd;
	walk->inject_page_fault = inject_page_fault;
	walk->get_pdptr = env_host[HOST_EPT] ? kvm_pdptr_read : get_pdptr;
#ifndef HAVE_PAGEWALK
	vcpu->arch.walk_mmu = &vcpu->arch.nested_mmu;
#endif
}

static void uninit_mmu(struct kvm_vcpu *vcpu)
{
	vcpu->arch.mmu = &vcpu->arch.root_mmu;
#ifndef HAVE_PAGEWALK
	vcpu->arch.walk_mmu = &vcpu->arch.root_mmu;
#endif
}

#ifdef HAVE_SKIP_TLB_FLUSH
/* As nested_vmx_transition_tlb_flush() without VPID; with NPT, a change of the root asks for it. */
static void transition_tlb_flush(struct kvm_vcpu *vcpu)
{
	if (env_host[HOST_EPT])
		kvm_make_request(KVM_REQ_TLB_FLUSH, vcpu);
}

/* As nested_vmx_load_cr3() and nested_svm_load_cr3() for L1. */
static void load_l1_cr3(struct kvm_vcpu *vcpu, unsigned long cr3)
{
	kvm_mmu_new_pgd(vcpu, cr3, env_host[HOST_EPT], env_host[HOST_EPT]);
	kvm_init_mmu(vcpu, false);
}
#else
/* As nested_vmx_transition_tlb_flush() without VPID, and nested_svm_transition_tlb_flush(). */
static void transition_tlb_flush(struct kvm_vcpu *vcpu)
{
	if (env_host[HOST_EPT]) {
		kvm_make_request(KVM_REQ_TLB_FLUSH_GUEST, vcpu);
	} else {
		kvm_make_request(KVM_REQ_MMU_SYNC, vcpu);
		kvm_make_request(KVM_REQ_TLB_FLUSH_CURRENT, vcpu);
	}
}

static void load_l1_cr3(struct kvm_vcpu *vcpu, unsigned long cr3)
{
	kvm_init_mmu(vcpu);
	kvm_mmu_new_pgd(vcpu, cr3);
}
#endif

static void set_registers(struct kvm_vcpu *vcpu, unsigned long cr0, unsigned long cr3, unsigned long cr4, u64 efer)
{
	vcpu->arch.cr0 = cr0;
	vcpu->arch.cr3 = cr3;
	vcpu->arch.cr4 = cr4;
	vcpu->arch.efer = efer;
}

void nested_enter(const struct enter_l2_arguments *args)
{
	struct kvm_vcpu *vcpu = machine_vcpu(args->vcpu);
	struct nested *nested = nested_of(vcpu);
	/* What the processor does not have L1 cannot use. */
	bool ad = args->ad && env_host[HOST_AD_BITS], exec_only = args->exec_only && env_host[HOST_EXEC_ONLY];

	used = true;
	vcpu_load(vcpu);
	kvm_vcpu_srcu_read_lock(vcpu);
	*nested = (struct nested){
		.cr0 = vcpu->arch.cr0,
		.cr3 = vcpu->arch.cr3,
		.cr4 = vcpu->arch.cr4,
		.efer = vcpu->arch.efer,
		.pgd = args->address,
	};
	enter_guest_mode(vcpu);
	processor_enter_l2(&processors[args->vcpu], ad);
	transition_tlb_flush(vcpu);
	init_mmu(vcpu, ad, exec_only);
	set_registers(vcpu, X86_CR0_PE, 0, 0, 0);
	init_mmu_of(vcpu);
	kvm_vcpu_srcu_read_unlock(vcpu);
	vcpu_put(vcpu);
}

void nested_leave(struct kvm_vcpu *vcpu)
{
	struct nested *nested = nested_of(vcpu);

	vcpu_load(vcpu);
	kvm_vcpu_srcu_read_lock(vcpu);
	leave_guest_mode(vcpu);
	processor_leave_l2(&processors[vcpu->vcpu_idx]);
	set_registers(vcpu, nested->cr0, nested->cr3, nested->cr4, nested->efer);
	uninit_mmu(vcpu);
	load_l1_cr3(vcpu, nested->cr3);
	transition_tlb_flush(vcpu);
	kvm_vcpu_srcu_read_unlock(vcpu);
	vcpu_put(vcpu);
}

void nested_invept(struct kvm_vcpu *vcpu)
{
	vcpu_load(vcpu);
	kvm_vcpu_srcu_read_lock(vcpu);
	free_roots(vcpu, &vcpu->arch.guest_mmu, KVM_MMU_ROOTS_ALL);
	kvm_vcpu_srcu_read_unlock(vcpu);
	vcpu_put(vcpu);
}

/* L1 has no page modification log. */
static int write_log_dirty(struct kvm_vcpu *vcpu, gpa_t l2_gpa)
{
	return 0;
}

#ifdef HAVE_IS_EXCEPTION_VMEXIT
/* L1 handles no exceptions of L2. */
static bool is_exception_vmexit(struct kvm_vcpu *vcpu, u8 vector, u32 error_code)
{
	return false;
}
#endif

#ifdef HAVE_TRANSLATE_NESTED_GPA_IN_WALK
/* As vmx_translate_nested_gpa() without MBEC, and svm_translate_nested_gpa() without GMET. */
static gpa_t translate_nested_gpa(struct kvm_vcpu *vcpu, gpa_t gpa, u64 access, struct x86_exception *exception,
				  u64 pte_access)
{
	typeof(nested_walk(vcpu)) walk = nested_walk(vcpu);

	access &= ~PFERR_USER_MASK;
	if (!env_host[HOST_EPT] || (pte_access & ACC_USER_MASK && access & PFERR_GUEST_FINAL_MASK))
		access |= PFERR_USER_MASK;
	return walk->gva_to_gpa(vcpu, walk, gpa, access, exception);
}
#endif

void nested_fill_ops(struct kvm_x86_nested_ops *ops)
{
	ops->write_log_dirty = write_log_dirty;
#ifdef HAVE_IS_EXCEPTION_VMEXIT
	ops->is_exception_vmexit = is_exception_vmexit;
#endif
#ifdef HAVE_TRANSLATE_NESTED_GPA_IN_WALK
	ops->translate_nested_gpa = translate_nested_gpa;
#endif
}
