/* SPDX-License-Identifier: GPL-2.0-only */
/* The registers of guests, as vendor modules keep them. */
#ifndef CONFORMANCE_KVM_REGISTERS_H
#define CONFORMANCE_KVM_REGISTERS_H

#include <linux/types.h>

struct kvm_vcpu;
struct kvm_x86_ops;

/* The vendor operations that read and write registers. */
void registers_fill_ops(struct kvm_x86_ops *ops);
/* Who executes the next instructions of a vCPU: a PRIVILEGE_* of interface.h. */
void registers_set_privilege(struct kvm_vcpu *vcpu, int privilege);
/* The guest takes an exception that KVM injects, at once: vector, error code, address; false if there is none. */
bool registers_take_exception(struct kvm_vcpu *vcpu, u64 words[3]);

#endif
