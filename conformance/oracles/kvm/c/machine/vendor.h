/* SPDX-License-Identifier: GPL-2.0-only */
/* The vendor module. */
#ifndef CONFORMANCE_KVM_VENDOR_H
#define CONFORMANCE_KVM_VENDOR_H

#include <linux/types.h>

struct kvm;

/* The ranges that KVM asked to flush in a step. */
#define MAX_FLUSHES	4096
struct vendor_flushes { unsigned long nr; u64 ranges[MAX_FLUSHES][2]; };
extern struct vendor_flushes vendor_flushes;

/* Initialise KVM with this vendor module. */
int vendor_init(void);
void vendor_set_pml(struct kvm *kvm, bool on);

#endif
