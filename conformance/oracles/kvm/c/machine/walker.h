/* SPDX-License-Identifier: GPL-2.0-only */
/* The lockless reader of the TDP MMU's tables; there is at most one. */
#ifndef CONFORMANCE_KVM_WALKER_H
#define CONFORMANCE_KVM_WALKER_H

#include <linux/types.h>

struct kvm_vcpu;

void walker_begin(struct kvm_vcpu *vcpu, u64 gfn);
void walker_next(void);
void walker_end(void);

#endif
