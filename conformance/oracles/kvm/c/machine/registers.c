// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registers of guests, as vmx and svm keep them for the MMU and the emulator.  Segments are flat; in long mode the
 * code is 64-bit code.
 */
#include <linux/kvm_host.h>
#include "interface.h"
#include "kernel/cpu.h"
#include "kvm_shape.h"
#include "registers.h"
#include "x86.h"

static int privileges[MAX_VCPUS];

void registers_set_privilege(struct kvm_vcpu *vcpu, int privilege)
{
	privileges[vcpu->vcpu_idx] = privilege;
}

static int get_cpl(struct kvm_vcpu *vcpu)
{
	return privileges[vcpu->vcpu_idx] == PRIVILEGE_USER ? 3 : 0;
}

static unsigned long get_rflags(struct kvm_vcpu *vcpu)
{
	return X86_EFLAGS_FIXED | (privileges[vcpu->vcpu_idx] == PRIVILEGE_SUPERVISOR_AC ? X86_EFLAGS_AC : 0);
}

static void get_cs_db_l_bits(struct kvm_vcpu *vcpu, int *db, int *l)
{
	*l = !!is_long_mode(vcpu);
	*db = !*l;
}

static void get_segment(struct kvm_vcpu *vcpu, struct kvm_segment *segment, int which)
{
	bool code = which == VCPU_SREG_CS;

	*segment = (struct kvm_segment){
		.selector = 8 | get_cpl(vcpu),
		.dpl = get_cpl(vcpu),
		.limit = 0xffffffff,
		/* Accessed, and readable code or writable data. */
		.type = code ? 11 : 3,
		.present = 1,
		.s = 1,
		.g = 1,
		.l = code && is_long_mode(vcpu),
		.db = !(code && is_long_mode(vcpu)),
	};
}

static void get_table(struct kvm_vcpu *vcpu, struct desc_ptr *table)
{
	memset(table, 0, sizeof(*table));
}

/* EFER.LMA follows CR0.PG while EFER.LME is set. */
static void set_cr0(struct kvm_vcpu *vcpu, unsigned long cr0)
{
	if (vcpu->arch.efer & EFER_LME && !is_paging(vcpu) && cr0 & X86_CR0_PG)
		vcpu->arch.efer |= EFER_LMA;
	if (vcpu->arch.efer & EFER_LME && is_paging(vcpu) && !(cr0 & X86_CR0_PG))
		vcpu->arch.efer &= ~EFER_LMA;
	vcpu->arch.cr0 = cr0;
}

static int set_cr4(struct kvm_vcpu *vcpu, unsigned long cr4)
{
	vcpu->arch.cr4 = cr4;
	return 0;
}

static int set_efer(struct kvm_vcpu *vcpu, u64 efer)
{
	vcpu->arch.efer = efer;
	return 0;
}

/* No other MSR matters to the MMU. */
static int set_msr(struct kvm_vcpu *vcpu, struct msr_data *msr)
{
	return msr->index == MSR_EFER ? kvm_set_msr_common(vcpu, msr) : 0;
}

bool registers_take_exception(struct kvm_vcpu *vcpu, u64 words[3])
{
	typeof(vcpu->arch.exception) *exception = &vcpu->arch.exception;

	if (!exception->pending)
		return false;
	words[0] = vector_of(exception);
	words[1] = exception->has_error_code ? exception->error_code : 0;
	words[2] = 0;
	if (vector_of(exception) == PF_VECTOR)
		words[2] = exception->has_payload ? exception->payload : vcpu->arch.cr2;
	exception->has_payload = false;
	kvm_clear_exception_queue(vcpu);
	kvm_clear_request(KVM_REQ_EVENT, vcpu);
	return true;
}

void registers_fill_ops(struct kvm_x86_ops *ops)
{
	ops->get_cpl = get_cpl;
	ops->get_rflags = get_rflags;
	ops->get_cs_db_l_bits = get_cs_db_l_bits;
	ops->get_segment = get_segment;
	ops->get_idt = get_table;
	ops->get_gdt = get_table;
	ops->set_cr0 = set_cr0;
	/* It returns nothing since v5.11. */
	ops->set_cr4 = (void *)set_cr4;
	ops->set_efer = set_efer;
	ops->set_msr = set_msr;
}
