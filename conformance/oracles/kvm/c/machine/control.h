/* SPDX-License-Identifier: GPL-2.0-only */
/* Instructions of the guest that change how it pages, and userspace's. */
#ifndef CONFORMANCE_KVM_CONTROL_H
#define CONFORMANCE_KVM_CONTROL_H

#include <linux/types.h>

struct kvm_vcpu;
struct set_sregs_arguments;

/* MOV to a control register and WRMSR of EFER: 0, or 1 for #GP. */
int control_set_cr0(struct kvm_vcpu *vcpu, u64 value);
int control_set_cr3(struct kvm_vcpu *vcpu, u64 value);
int control_set_cr4(struct kvm_vcpu *vcpu, u64 value);
int control_set_efer(struct kvm_vcpu *vcpu, u64 value);
void control_invlpg(struct kvm_vcpu *vcpu, u64 address);
/* As kvm_handle_invpcid() returns. */
int control_invpcid(struct kvm_vcpu *vcpu, u64 type, u64 address);
/* KVM_SET_SREGS: 0, or a negative error. */
long control_set_sregs(const struct set_sregs_arguments *args);

#endif
