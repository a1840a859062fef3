/* SPDX-License-Identifier: GPL-2.0-only */
/* Guests of the guest: what the vendor modules do for the MMU when L1 enters L2, and when L2 exits to L1. */
#ifndef CONFORMANCE_KVM_NESTED_H
#define CONFORMANCE_KVM_NESTED_H

#include <linux/types.h>

struct enter_l2_arguments;
struct kvm_vcpu;
struct kvm_x86_nested_ops;

void nested_fill_ops(struct kvm_x86_nested_ops *ops);
/* Whether a vCPU of this machine has ever entered L2. */
bool nested_is_used(void);

void nested_enter(const struct enter_l2_arguments *args);
void nested_leave(struct kvm_vcpu *vcpu);
/* INVEPT, all contexts. */
void nested_invept(struct kvm_vcpu *vcpu);

/*
 * An exit to L1 that KVM has prepared: error code, guest physical address, exit qualification; false if there is none.
 * The vCPU stays in L2 until nested_leave().
 */
bool nested_take_exit(struct kvm_vcpu *vcpu, u64 words[3]);
bool nested_has_exit(struct kvm_vcpu *vcpu);

#endif
