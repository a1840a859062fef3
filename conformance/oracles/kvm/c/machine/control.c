// SPDX-License-Identifier: GPL-2.0-only
/* What changes how a guest pages: control registers, EFER, INVLPG and INVPCID, as the exit handlers handle them. */
#include <linux/kvm_host.h>
#include "interface.h"
#include "control.h"
#include "guest.h"
#include "kvm_shape.h"
#include "machine.h"
#include "registers.h"
#include "mmu.h"
#include "x86.h"

static void begin(struct kvm_vcpu *vcpu)
{
	vcpu_load(vcpu);
	kvm_vcpu_srcu_read_lock(vcpu);
}

/* An exception is taken at once, and is not part of the outcome. */
static void end(struct kvm_vcpu *vcpu)
{
	u64 unused[3];

	registers_take_exception(vcpu, unused);
	kvm_vcpu_srcu_read_unlock(vcpu);
	vcpu_put(vcpu);
}

#define MOV_TO(name)							\
int control_set_##name(struct kvm_vcpu *vcpu, u64 value)		\
{									\
	int r;								\
									\
	begin(vcpu);							\
	r = kvm_set_##name(vcpu, value);				\
	end(vcpu);							\
	return r;							\
}
MOV_TO(cr0)
MOV_TO(cr3)
MOV_TO(cr4)

int control_set_efer(struct kvm_vcpu *vcpu, u64 value)
{
	struct msr_data msr = { .index = MSR_EFER, .data = value };
	int r;

	begin(vcpu);
	r = kvm_set_msr_common(vcpu, &msr);
	end(vcpu);
	return r;
}

/*
 * A guest that executes INVLPG or INVPCID has entered: its MMU has a root. With the dummy root, the zero page, it
 * cannot fetch any instruction.
 */
static bool can_fetch(struct kvm_vcpu *vcpu)
{
	return !is_zero_pfn(root_hpa_of(vcpu->arch.mmu) >> PAGE_SHIFT);
}

void control_invlpg(struct kvm_vcpu *vcpu, u64 address)
{
	if (guest_enter(vcpu) || !can_fetch(vcpu))
		return;
	begin(vcpu);
	kvm_mmu_invlpg(vcpu, address);
	end(vcpu);
}

int control_invpcid(struct kvm_vcpu *vcpu, u64 type, u64 address)
{
	int r = guest_enter(vcpu);

	if (r || !can_fetch(vcpu))
		return r;
	begin(vcpu);
	r = kvm_handle_invpcid(vcpu, type, address);
	end(vcpu);
	return r;
}

long control_set_sregs(const struct set_sregs_arguments *args)
{
	u64 lma = args->cr0 & X86_CR0_PG && args->efer & EFER_LME ? EFER_LMA : 0;
	struct kvm_sregs sregs = {};
	long r = machine_vcpu_ioctl(args->vcpu, KVM_GET_SREGS, &sregs);

	sregs.cr0 = args->cr0;
	sregs.cr3 = args->cr3;
	sregs.cr4 = args->cr4;
	sregs.efer = (args->efer & ~EFER_LMA) | lma;
	sregs.cs.l = !!lma;
	return r ?: machine_vcpu_ioctl(args->vcpu, KVM_SET_SREGS, &sregs);
}
