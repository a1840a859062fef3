/* SPDX-License-Identifier: GPL-2.0-only */
/* How KVM handled a page fault: it returns only whether to go on. */
#ifndef CONFORMANCE_KVM_FAULT_RESULT_H
#define CONFORMANCE_KVM_FAULT_RESULT_H

#include <linux/types.h>

struct kvm_vcpu;

struct fault_result { bool fixed, spurious; };

/* Handle a page fault, or a fault of two-dimensional paging: what KVM returned. */
int observed_page_fault(struct kvm_vcpu *vcpu, u64 address, u64 error_code, struct fault_result *result);

#endif
