/* SPDX-License-Identifier: GPL-2.0-only */
/* The machine: a VM and its vCPUs. */
#ifndef CONFORMANCE_KVM_MACHINE_H
#define CONFORMANCE_KVM_MACHINE_H

#include "serve.h"

struct kvm;
struct kvm_vcpu;

/* NULL before machine_create() and after machine_destroy(). */
extern struct kvm *machine_kvm;
extern int machine_nr_vcpus;
struct kvm_vcpu *machine_vcpu(unsigned long index);
long machine_ioctl(unsigned int request, const void *argument);
long machine_vcpu_ioctl(unsigned long index, unsigned int request, const void *argument);
/* Close all files of the VM; what KVM has not freed: objects, pages, references to the host's pages. */
void machine_destroy(long leaked[3]);

#endif
