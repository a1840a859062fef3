// SPDX-License-Identifier: GPL-2.0-only
/*
 * One instruction of the guest at an address, until it completes, is emulated, or ends in an exception or an exit to
 * L1 or to userspace.  With shadow paging the address is linear; else it is guest physical, L2's in L2.
 */
#include <linux/kvm_host.h>
#include "host/frames.h"
#include "interface.h"
#include "process/observe.h"
#include "process/scheduler.h"
#include "emulation.h"
#include "execute.h"
#include "guest.h"
#include "kvm_shape.h"
#include "machine.h"
#include "nested.h"
#include "processor.h"
#include "registers.h"
#include "mmu.h"
#include "mmu/mmu_internal.h"
#include "x86.h"

#define MAX_EXITS	8

/* How an instruction has ended: an END_* of interface.h and its words; see ExecuteOutcome. */
struct ending { int end; u64 words[3]; };

static bool is_linear(void)
{
	return !env_host[HOST_TDP];
}

static bool is_canonical(struct kvm_vcpu *vcpu, u64 address)
{
	int shift = vcpu->arch.cr4 & X86_CR4_LA57 ? 64 - 57 : 64 - 48;

	return (s64)(address << shift) >> shift == address;
}

/* The guest has no others, and words are aligned. */
static bool is_address(struct kvm_vcpu *vcpu, u64 address, int size)
{
	if (address % size)
		return false;
	if (!is_long_mode(vcpu))
		return !(address >> 32);
	return is_linear() ? is_canonical(vcpu, address) : !(address >> 48);
}

static struct reference refer(struct kvm_vcpu *vcpu, u64 address, int kind, int privilege)
{
	struct reference ref = { .page = address >> PAGE_SHIFT, .kind = kind };

	if (!is_linear())
		return ref;
	ref.user = privilege == PRIVILEGE_USER;
	/* A guest that has paging off does not have these, either, though the processor pages. */
	ref.smep = is_paging(vcpu) && vcpu->arch.cr4 & X86_CR4_SMEP;
	ref.smap = is_paging(vcpu) && vcpu->arch.cr4 & X86_CR4_SMAP && privilege != PRIVILEGE_SUPERVISOR_AC;
	ref.pcid = vcpu->arch.cr4 & X86_CR4_PCIDE ? vcpu->arch.cr3 & X86_CR3_PCID_MASK : 0;
	return ref;
}

/* The memory that the processor has reached; other threads may run before. */
static u64 move(const struct instruction *one, u64 pfn)
{
	unsigned long offset = one->address & ~PAGE_MASK;
	u64 word;

	sched_point(one->kind == ACCESS_WRITE ? POINT_RMW : POINT_READ, frame_object(pfn, offset));
	word = frame_read(pfn, offset, one->size);
	if (one->kind != ACCESS_WRITE)
		return word;
	word = one->opcode ? word + one->value : one->value;
	frame_write(pfn, offset, one->size, word);
	return frame_read(pfn, offset, one->size);
}

/* Userspace does not come back to the instruction: an exception that KVM has prepared is not taken. */
static struct ending exit_to_userspace(struct kvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct ending ending = { END_USERSPACE, { run->exit_reason } };
	u64 unused[3];

	if (run->exit_reason == KVM_EXIT_MMIO) {
		ending.words[1] = run->mmio.phys_addr;
		ending.words[2] = run->mmio.is_write;
	}
	vcpu->mmio_needed = 0;
	vcpu->arch.complete_userspace_io = NULL;
	registers_take_exception(vcpu, unused);
	return ending;
}

/* KVM handles an exit: true if that ends the instruction. */
static bool handle_exit(struct kvm_vcpu *vcpu, const struct instruction *one, struct exit *exit,
			struct ending *ending)
{
	int r, code;

	emulation_expect(vcpu, one);
	code = guest_handle_exit(vcpu, one->address, exit, &r);
	if (r > 0 && emulation_reached(vcpu) && !emulation_completed(vcpu) && !vcpu->arch.exception.pending &&
	    !nested_has_exit(vcpu))
		code += EXIT_UNPROTECTED - EXIT_EMULATE;
	put_outcome(exit->error_code);
	put_outcome(code);
	if (r < 0) {
		*ending = (struct ending){ END_FAILED, { r } };
		return true;
	}
	if (!r) {
		*ending = exit_to_userspace(vcpu);
		return true;
	}
	if (nested_take_exit(vcpu, ending->words)) {
		ending->end = END_NESTED_EXIT;
		return true;
	}
	if (registers_take_exception(vcpu, ending->words)) {
		ending->end = END_EXCEPTION;
		return true;
	}
	if (emulation_completed(vcpu)) {
		*ending = (struct ending){ END_EMULATED, { 0, 0, emulation_result(vcpu) } };
		return true;
	}
	return code % EXIT_MMIO == EXIT_RETRY && guest_never_ends(vcpu);
}

static struct ending execute(struct kvm_vcpu *vcpu, const struct instruction *one, int privilege)
{
	struct processor *cpu = &processors[vcpu->vcpu_idx];
	struct ending ending = { END_GAVE_UP };
	int exits, r;

	for (exits = 0; exits < MAX_EXITS; exits++) {
		struct reference ref = refer(vcpu, one->address, one->kind, privilege);
		const struct translation *t;
		struct exit exit;

		r = guest_run(vcpu);
		if (r < 0)
			return (struct ending){ END_FAILED, { r } };
		/* As for KVM_REQ_TRIPLE_FAULT, which is made for a root that is not in the guest's memory. */
		if (r > 0)
			return (struct ending){ END_USERSPACE, { KVM_EXIT_SHUTDOWN } };
		t = processor_access(cpu, &ref, &exit);
		if (t) {
			u64 pfn = t->pfn + ref.page - t->gfn;

			ending = (struct ending){ END_DONE, { t->level, pfn, move(one, pfn) } };
		}
		guest_leave(vcpu, !t);
		if (t || handle_exit(vcpu, one, &exit, &ending))
			break;
	}
	return ending;
}

void guest_execute(const struct execute_arguments *args)
{
	struct kvm_vcpu *vcpu = machine_vcpu(args->vcpu);
	struct instruction one = {
		.address = args->address,
		.value = args->value,
		.kind = args->kind,
		.opcode = args->instruction,
		.size = is_long_mode(vcpu) ? 8 : 4,
	};
	struct ending ending = { END_FAILED, { -EINVAL } };
	int i;

	if (is_address(vcpu, one.address, one.size)) {
		registers_set_privilege(vcpu, args->privilege);
		vcpu_load(vcpu);
		kvm_vcpu_srcu_read_lock(vcpu);
		ending = execute(vcpu, &one, args->privilege);
		kvm_vcpu_srcu_read_unlock(vcpu);
		vcpu_put(vcpu);
		registers_set_privilege(vcpu, PRIVILEGE_SUPERVISOR);
	}
	put_outcome(ending.end);
	for (i = 0; i < 3; i++) {
		if (ending.end == END_FAILED)
			put_outcome(ending.words[i]);
		else
			put_outcome_bits(ending.words[i]);
	}
}
