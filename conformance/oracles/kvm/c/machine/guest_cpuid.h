/* SPDX-License-Identifier: GPL-2.0-only */
/* The features of KVM and of its guests. */
#ifndef CONFORMANCE_KVM_GUEST_CPUID_H
#define CONFORMANCE_KVM_GUEST_CPUID_H

struct kvm_cpuid2;

/* KVM supports every feature that its MMU looks at, as the vendor modules set it up on a host that has them. */
void guest_cpuid_init_caps(void);
/* The CPUID of a guest with all of these. */
const struct kvm_cpuid2 *guest_cpuid(void);

#endif
