/* SPDX-License-Identifier: GPL-2.0-only */
/* What happens where KVM emulates an instruction of the guest. */
#ifndef CONFORMANCE_KVM_EMULATION_H
#define CONFORMANCE_KVM_EMULATION_H

#include <linux/types.h>

struct kvm_vcpu;

/* An instruction that reads, writes or is fetched at `address`; it moves `size` bytes. */
struct instruction { u64 address, value; int kind, opcode, size; };

/*
 * Before KVM handles an exit: if there is an instruction, KVM's emulator runs it, else to reach the emulator ends the
 * access.
 */
void emulation_expect(struct kvm_vcpu *vcpu, const struct instruction *instruction);
/* Whether the emulator was reached since then, and whether it completed the instruction. */
bool emulation_reached(struct kvm_vcpu *vcpu);
bool emulation_completed(struct kvm_vcpu *vcpu);
/* What an emulated instruction has read, or has written. */
u64 emulation_result(struct kvm_vcpu *vcpu);

#endif
