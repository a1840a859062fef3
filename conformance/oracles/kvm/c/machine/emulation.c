// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions of the guest where KVM emulates them.  KVM's emulator is given the bytes of an instruction, as AMD's
 * processors give them at a page fault: %rbx has the address, %rax the value.  Of an instruction that is fetched it has
 * none, and fetches them itself.
 */
#include <linux/kvm_host.h>
#include "interface.h"
#include "kernel/cpu.h"
#include "emulation.h"
#include "mmu.h"
#include "x86.h"

/* Of the one instruction, wherever it is. */
#define RIP	0x1000UL

static struct emulation {
	const struct instruction *instruction;
	bool reached, completed;
} emulations[MAX_VCPUS];

struct code { u8 length, bytes[8]; };

/*
 * In 64-bit mode with REX.W.  In real mode with the prefixes for 32-bit operands and addresses; else protected mode
 * with 32-bit segments.
 */
static struct code encode(struct kvm_vcpu *vcpu, const struct instruction *one)
{
	static const struct code mov_from = { 2, { 0x8b, 0x03 } }, mov_to = { 2, { 0x89, 0x03 } },
				 xadd = { 3, { 0x0f, 0xc1, 0x03 } };
	struct code plain = one->kind == ACCESS_READ ? mov_from : one->opcode ? xadd : mov_to, code = {};

	if (one->kind == ACCESS_FETCH)
		return code;
	if (is_long_mode(vcpu)) {
		code.bytes[code.length++] = 0x48;
	} else if (!is_protmode(vcpu)) {
		code.bytes[code.length++] = 0x66;
		code.bytes[code.length++] = 0x67;
	}
	memcpy(&code.bytes[code.length], plain.bytes, plain.length);
	code.length += plain.length;
	return code;
}

/* mmu.c calls this instead of x86_emulate_instruction(); see build.py. */
int env_emulate_instruction(struct kvm_vcpu *vcpu, gpa_t gpa, int type, void *insn, int length);
int env_emulate_instruction(struct kvm_vcpu *vcpu, gpa_t gpa, int type, void *insn, int length)
{
	struct emulation *emulation = &emulations[vcpu->vcpu_idx];
	const struct instruction *one = emulation->instruction;
	unsigned long rip;
	struct code code;
	int r;

	emulation->reached = true;
	if (!one)
		return 1;
	code = encode(vcpu, one);
	rip = kvm_rip_read(vcpu);
	vcpu->arch.regs[VCPU_REGS_RBX] = one->address;
	vcpu->arch.regs[VCPU_REGS_RAX] = one->value;
	r = x86_emulate_instruction(vcpu, gpa, type, code.length ? code.bytes : NULL, code.length);
	emulation->completed = kvm_rip_read(vcpu) != rip;
	return r;
}

void emulation_expect(struct kvm_vcpu *vcpu, const struct instruction *instruction)
{
	emulations[vcpu->vcpu_idx] = (struct emulation){ .instruction = instruction };
	/* KVM looks at it before it emulates: it does not have the same instruction repeated twice. */
	if (instruction)
		kvm_rip_write(vcpu, instruction->kind == ACCESS_FETCH ? instruction->address : RIP);
}

bool emulation_reached(struct kvm_vcpu *vcpu)
{
	return emulations[vcpu->vcpu_idx].reached;
}

bool emulation_completed(struct kvm_vcpu *vcpu)
{
	return emulations[vcpu->vcpu_idx].completed;
}

/* XADD leaves in %rax what was there, and in memory the sum. */
u64 emulation_result(struct kvm_vcpu *vcpu)
{
	const struct instruction *one = emulations[vcpu->vcpu_idx].instruction;
	u64 result = vcpu->arch.regs[VCPU_REGS_RAX];

	if (one->kind == ACCESS_WRITE)
		result = one->opcode ? result + one->value : one->value;
	return one->size == 4 ? (u32)result : result;
}
