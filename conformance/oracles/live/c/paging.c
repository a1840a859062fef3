// SPDX-License-Identifier: GPL-2.0-only
// A guest whose tables the story builds: it runs one instruction, for shadow paging.
//
// Its own code must be mapped in the story's tables. For that an entry of the root that no story uses points to
// tables of the stub, which map its code at one linear address for each paging mode.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

/* Offsets into the stub: tables, and what the guest executes and the processor reads. */
#define FOURTH 0x0
#define THIRD 0x1000
#define SECOND 0x2000
#define FIRST 0x3000
#define FIRST_32 0x4000
#define SUPERVISOR 0x5000
#define USER 0x6000
#define DATA 0x7000

/*
 * Offsets into the supervisor's page, which is read-only: for a writable page that is mapped already, KVM before
 * v6.13 forgets that it is dirty, and flushes. Code is at the same offsets of the user's page.
 */
#define IDT 0x0
#define GDT 0x200
#define TSS 0x280
#define HANDLERS 0x300
#define CODE 0x400

/* Offsets into the supervisor's page of data; the user's is in the user's page. */
#define SCRATCH 0x600
#define FRAME 0xe00
#define STACK 0xff0

/* The guest's instructions, 16 bytes apart; those of 64 bits have a prefix more. */
enum code { READ_CODE, WRITE_CODE, XADD_CODE, HALT_CODE, CR0_CODE, CR3_CODE, CR4_CODE, EFER_CODE, INVLPG_CODE,
	    IRET_CODE, TOUCH_CODE };
static const char *const instructions[] = {
	[READ_CODE] = "\x48\x8b\x0b",		/* mov (%rbx), %rcx */
	[WRITE_CODE] = "\x48\x89\x0b",		/* mov %rcx, (%rbx) */
	[XADD_CODE] = "\x48\x0f\xc1\x0b",	/* xadd %rcx, (%rbx) */
	[HALT_CODE] = "\xf4",
	[CR0_CODE] = "\x0f\x22\xc0",		/* mov %rax, %cr0 */
	[CR3_CODE] = "\x0f\x22\xd8",
	[CR4_CODE] = "\x0f\x22\xe0",
	[EFER_CODE] = "\x0f\x30",		/* wrmsr */
	[INVLPG_CODE] = "\x0f\x01\x3b",		/* invlpg (%rbx) */
	[IRET_CODE] = "\xcf",
	[TOUCH_CODE] = "\x88\x04\x24",		/* mov %al, (%rsp) */
};
#define PREFIXED(code) ((code) <= XADD_CODE)

/* Present, writable, user, accessed, dirty; a page of the supervisor. */
#define TABLE 0x67ull
#define SUPERVISOR_CODE 0x61ull
#define SUPERVISOR_DATA 0x63ull
#define ADDRESS 0x000ffffffffff000ull

/* The entries of the story's tables that lead to the stub, and the linear addresses that they translate. */
#define ROOT_ENTRY 496
#define HIGH_4_LEVELS (LOW_STUB | 0xfffff80000000000ull)
#define HIGH_5_LEVELS (LOW_STUB | 0xfff0000000000000ull)

#define CR0_PG (1ull << 31)
#define CR4_PAE (1ull << 5)
#define CR4_LA57 (1ull << 12)
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)
#define EFLAGS_TF (1ull << 8)
#define EFLAGS_AC (1ull << 18)
#define MSR_EFER 0xc0000080u

enum { READ = 1, WRITE = 2, FETCH = 4 };
enum { PRIVILEGE_SUPERVISOR, PRIVILEGE_USER, PRIVILEGE_SUPERVISOR_AC };

#define GP_VECTOR 13
#define PF_VECTOR 14

/* Exits to userspace that one instruction may take. */
#define MOST_EXITS 8
#define PATIENCE 60

void fill_paging_stub(uint8_t *stub)
{
	uint64_t *first = (uint64_t *)(stub + FIRST);
	uint32_t *first_32 = (uint32_t *)(stub + FIRST_32);

	memset(stub, 0, STUB_SIZE);
	((uint64_t *)(stub + FOURTH))[0] = (LOW_STUB + THIRD) | TABLE;
	((uint64_t *)(stub + THIRD))[LOW_STUB >> 30] = (LOW_STUB + SECOND) | TABLE;
	((uint64_t *)(stub + SECOND))[LOW_STUB >> 21 & 511] = (LOW_STUB + FIRST) | TABLE;
	first[SUPERVISOR / PAGE_SIZE] = (LOW_STUB + SUPERVISOR) | SUPERVISOR_CODE;
	first[DATA / PAGE_SIZE] = (LOW_STUB + DATA) | SUPERVISOR_DATA;
	first[USER / PAGE_SIZE] = (LOW_STUB + USER) | TABLE;
	first_32[SUPERVISOR / PAGE_SIZE] = (LOW_STUB + SUPERVISOR) | SUPERVISOR_CODE;
	first_32[DATA / PAGE_SIZE] = (LOW_STUB + DATA) | SUPERVISOR_DATA;
	first_32[USER / PAGE_SIZE] = (LOW_STUB + USER) | TABLE;
	for (unsigned int page = SUPERVISOR; page <= USER; page += PAGE_SIZE)
		for (unsigned int n = 0; n < ARRAY_SIZE(instructions); n++)
			strcpy((char *)stub + page + CODE + 16 * n, instructions[n]);
	memset(stub + SUPERVISOR + HANDLERS, 0xf4, 32);
}

/* How a vCPU pages, or will. */
struct paging { uint64_t cr0, cr3, cr4, efer; };

static int is_long(const struct paging *p)
{
	return p->cr0 & CR0_PG && p->efer & EFER_LME;
}

static int is_pae(const struct paging *p)
{
	return p->cr0 & CR0_PG && p->cr4 & CR4_PAE && !is_long(p);
}

static struct paging paging_of(const struct kvm_sregs *sregs)
{
	return (struct paging){ sregs->cr0, sregs->cr3, sregs->cr4, sregs->efer };
}

/* The linear address of the stub. */
static uint64_t stub_of(const struct paging *p)
{
	if (!is_long(p))
		return LOW_STUB;
	return p->cr4 & CR4_LA57 ? HIGH_5_LEVELS : HIGH_4_LEVELS;
}

static int in_smm(unsigned int vcpu)
{
	struct kvm_vcpu_events events;

	memset(&events, 0, sizeof(events));
	ioctl(vcpu_fd(vcpu), KVM_GET_VCPU_EVENTS, &events);
	return events.smi.smm;
}

/* Write an entry, unless it is there: a write may copy the page, and a read may map the zero page. */
static void set_entry(void *entry, uint64_t value, size_t size)
{
	if (!is_present(entry) || memcmp(entry, &value, size))
		memcpy(entry, &value, size);
}

/* Let the story's tables map the stub. */
static void link_stub(unsigned int vcpu, const struct paging *p)
{
	int as_id = in_smm(vcpu);
	uint8_t *root = guest_memory(as_id, (p->cr3 & ADDRESS) / PAGE_SIZE);
	uint64_t *table, wanted;

	if (!(p->cr0 & CR0_PG) || !root)
		return;
	if (!is_long(p) && !is_pae(p)) {
		set_entry((uint32_t *)root + (LOW_STUB >> 22), (LOW_STUB + FIRST_32) | TABLE, sizeof(uint32_t));
		return;
	}
	table = (uint64_t *)root + ROOT_ENTRY;
	wanted = (LOW_STUB + (p->cr4 & CR4_LA57 ? FOURTH : THIRD)) | TABLE;
	if (is_pae(p)) {
		/* The four entries allow the present bit only. */
		table = (uint64_t *)(root + (p->cr3 & 0xfe0)) + (LOW_STUB >> 30);
		wanted = (LOW_STUB + SECOND) | 1;
		if (is_present(table) && *table & 1 && *table != wanted) {
			root = guest_memory(as_id, (*table & ADDRESS) / PAGE_SIZE);
			if (!root)
				return;
			table = (uint64_t *)root + (LOW_STUB >> 21 & 511);
			wanted = (LOW_STUB + FIRST) | TABLE;
		}
	}
	set_entry(table, wanted, sizeof(wanted));
}

static struct kvm_segment segment(int selector, int type, int l)
{
	return (struct kvm_segment){
		.limit = 0xffffffff, .selector = selector, .type = type, .dpl = selector & 3,
		.present = 1, .s = 1, .g = 1, .l = l, .db = !l,
	};
}

/* The segments of a privilege. Data can be used by both, so that an IRET leaves it as it is. */
static void set_segments(struct kvm_sregs *sregs, int user)
{
	struct paging p = paging_of(sregs);
	uint64_t at = stub_of(&p) + SUPERVISOR;

	sregs->cs = segment(user ? 0x1b : 0x8, 11, is_long(&p));
	sregs->ss = segment(user ? 0x23 : 0x10, 3, 0);
	sregs->ds = sregs->es = sregs->fs = sregs->gs = segment(0x23, 3, 0);
	sregs->gdt = (struct kvm_dtable){ .base = at + GDT, .limit = 5 * 8 - 1 };
	sregs->idt = (struct kvm_dtable){ .base = at + IDT, .limit = 32 * (is_long(&p) ? 16 : 8) - 1 };
	sregs->tr = (struct kvm_segment){
		.base = at + TSS, .limit = 0x67, .selector = 0x28, .type = 11, .present = 1,
	};
}

/* What the processor reads when it takes an exception: descriptors, gates, the stack. */
static void fill_descriptors(const struct paging *p)
{
	uint8_t *page = guest_stub + SUPERVISOR;
	uint64_t at = stub_of(p) + SUPERVISOR, code = is_long(p) ? 0x00af9b000000ffffull : 0x00cf9b000000ffffull;
	uint64_t gdt[] = { 0, code, 0x00cf93000000ffffull, code | 3ull << 45, 0x00cff3000000ffffull };
	uint64_t stack = stub_of(p) + DATA + STACK;
	uint32_t selector = 0x10;

	memcpy(page + GDT, gdt, sizeof(gdt));
	memset(page + IDT, 0, 32 * 16);
	for (int vector = 0; vector < 32; vector++) {
		uint64_t handler = at + HANDLERS + vector;
		uint64_t gate = (handler & 0xffff) | 8 << 16 | 0x8eull << 40 | (handler >> 16 & 0xffff) << 48;

		memcpy(page + IDT + vector * (is_long(p) ? 16 : 8), &gate, 8);
		if (is_long(p))
			*(uint32_t *)(page + IDT + vector * 16 + 8) = handler >> 32;
	}
	memset(page + TSS, 0, 0x68);
	memcpy(page + TSS + 4, &stack, is_long(p) ? 8 : 4);
	if (!is_long(p))
		memcpy(page + TSS + 8, &selector, 4);
}

long start_paging(unsigned int vcpu, const struct kvm_sregs *wanted)
{
	struct kvm_sregs sregs;
	struct paging p = paging_of(wanted);

	if (ioctl(vcpu_fd(vcpu), KVM_GET_SREGS, &sregs))
		return -1;
	sregs.cr0 = p.cr0;
	sregs.cr3 = p.cr3;
	sregs.cr4 = p.cr4;
	sregs.efer = (p.efer & ~EFER_LMA) | (is_long(&p) ? EFER_LMA : 0);
	set_segments(&sregs, 0);
	link_stub(vcpu, &p);
	return ioctl(vcpu_fd(vcpu), KVM_SET_SREGS, &sregs);
}

/* Serve the requests of a new vCPU. Its root is in no memory, which KVM before v6.6 calls a triple fault. */
void settle_vcpu(unsigned int vcpu)
{
	struct kvm_vcpu_events events;
	struct timespec now = { 0, 0 };
	sigset_t set;

	raise(SIGUSR1);
	ioctl(vcpu_fd(vcpu), KVM_RUN, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigtimedwait(&set, NULL, &now);
	memset(&events, 0, sizeof(events));
	ioctl(vcpu_fd(vcpu), KVM_GET_VCPU_EVENTS, &events);
	events.flags = KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	events.triple_fault.pending = 0;
	ioctl(vcpu_fd(vcpu), KVM_SET_VCPU_EVENTS, &events);
}

/* How an instruction ended. */
enum how { DONE, EXCEPTION, EXIT, FAILED, STUCK };
struct ending { enum how how; uint64_t words[3]; };

static struct ending halted(unsigned int vcpu, const struct paging *p)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	uint64_t at = stub_of(p) + SUPERVISOR, vector, error = 0;

	ioctl(vcpu_fd(vcpu), KVM_GET_REGS, &regs);
	ioctl(vcpu_fd(vcpu), KVM_GET_SREGS, &sregs);
	vector = regs.rip - 1 - at - HANDLERS;
	if (vector >= 32)
		return (struct ending){ DONE };
	if (vector == 8 || (vector >= 10 && vector <= 14) || vector == 17)
		memcpy(&error, guest_stub + DATA + regs.rsp % PAGE_SIZE, is_long(p) ? 8 : 4);
	return (struct ending){ EXCEPTION, { vector, error, vector == PF_VECTOR ? sregs.cr2 : 0 } };
}

/* Complete MMIO, without running the guest: nothing is left of the instruction. */
static void drop_mmio(unsigned int vcpu)
{
	struct kvm_run *run = vcpu_run(vcpu);

	run->immediate_exit = 1;
	while (!ioctl(vcpu_fd(vcpu), KVM_RUN, 0) && run->exit_reason == KVM_EXIT_MMIO)
		;
	run->immediate_exit = 0;
}

/* Run until the instruction at "start" has completed. It is single-stepped, so that nothing comes after it. */
static struct ending run(unsigned int vcpu, const struct paging *p, const struct kvm_regs *regs, uint64_t start)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };
	struct kvm_run *run = vcpu_run(vcpu);

	ioctl(vcpu_fd(vcpu), KVM_SET_REGS, regs);
	for (int n = 0; n < MOST_EXITS; n++) {
		int result;

		ioctl(vcpu_fd(vcpu), KVM_SET_GUEST_DEBUG, &debug);
		alarm(PATIENCE);
		result = ioctl(vcpu_fd(vcpu), KVM_RUN, 0);
		alarm(0);
		if (result < 0)
			return (struct ending){ FAILED, { errno } };
		switch (run->exit_reason) {
		case KVM_EXIT_DEBUG:
			if (run->debug.arch.pc == start)
				continue;
			return (struct ending){ DONE };
		case KVM_EXIT_HLT:
			return halted(vcpu, p);
		case KVM_EXIT_MMIO: {
			struct ending mmio = { EXIT, { KVM_EXIT_MMIO, run->mmio.phys_addr, run->mmio.is_write } };

			drop_mmio(vcpu);
			return mmio;
		}
		default:
			return (struct ending){ EXIT, { run->exit_reason } };
		}
	}
	return (struct ending){ STUCK };
}

/* Not those of a PAE guest: this would load its four entries anew. */
static void load_segments(unsigned int vcpu, int user)
{
	struct kvm_sregs sregs;
	struct paging p;

	ioctl(vcpu_fd(vcpu), KVM_GET_SREGS, &sregs);
	p = paging_of(&sregs);
	set_segments(&sregs, user);
	if (!is_pae(&p))
		ioctl(vcpu_fd(vcpu), KVM_SET_SREGS, &sregs);
}

/* Prepare a vCPU for an instruction of the supervisor; how it pages. */
static struct paging prepare(unsigned int vcpu)
{
	struct kvm_sregs sregs;
	struct paging p;

	ioctl(vcpu_fd(vcpu), KVM_GET_SREGS, &sregs);
	p = paging_of(&sregs);
	link_stub(vcpu, &p);
	fill_descriptors(&p);
	load_segments(vcpu, 0);
	return p;
}

static uint64_t code_at(const struct paging *p, int user, enum code code)
{
	return stub_of(p) + (user ? USER : SUPERVISOR) + CODE + 16 * code + (PREFIXED(code) && !is_long(p));
}

/* A PAE guest gets to the user's code by IRET, and back by the #GP of HLT. */
static struct ending run_as_pae_user(unsigned int vcpu, const struct paging *p, struct kvm_regs regs)
{
	uint32_t frame[] = { regs.rip, 0x1b, 2 | EFLAGS_TF, stub_of(p) + USER + STACK, 0x23 };
	uint64_t start = regs.rip;

	memcpy(guest_stub + DATA + FRAME, frame, sizeof(frame));
	regs.rip = code_at(p, 0, IRET_CODE);
	regs.rsp = stub_of(p) + DATA + FRAME;
	return run(vcpu, p, &regs, start);
}

/* Have the stub's pages mapped, before and not while the story's instruction is executed. */
static struct ending touch_stub(unsigned int vcpu, const struct paging *p)
{
	struct kvm_regs regs = {
		.rip = code_at(p, 0, TOUCH_CODE), .rsp = stub_of(p) + DATA + STACK, .rflags = 2,
	};

	return run(vcpu, p, &regs, regs.rip);
}

static int is_address(const struct paging *p, uint64_t address, unsigned int size)
{
	int shift = 64 - (p->cr4 & CR4_LA57 ? 57 : 48);

	if (address % size)
		return 0;
	return is_long(p) ? (uint64_t)((int64_t)(address << shift) >> shift) == address : !(address >> 32);
}

/* The word that was read or fetched, or that is there after a write. */
static uint64_t word_of(unsigned int vcpu, uint64_t address, int kind, enum code code, uint64_t value)
{
	struct kvm_translation place = { .linear_address = address };
	struct kvm_regs regs;
	uint8_t *page;

	ioctl(vcpu_fd(vcpu), KVM_GET_REGS, &regs);
	if (kind == FETCH) {
		/* A page of the user's may be fetched. */
		regs.rflags |= EFLAGS_AC;
		ioctl(vcpu_fd(vcpu), KVM_SET_REGS, &regs);
		ioctl(vcpu_fd(vcpu), KVM_TRANSLATE, &place);
		page = guest_memory(in_smm(vcpu), place.physical_address / PAGE_SIZE);
		return page ? *(uint64_t *)(page + (place.physical_address % PAGE_SIZE & ~7ull)) >>
			      8 * (address & 7) : 0;
	}
	if (kind == READ)
		return regs.rcx;
	return code == XADD_CODE ? regs.rcx + value : value;
}

static void answer_ending(const struct ending *ending)
{
	static const char *const names[] = {
		[DONE] = "done", [EXCEPTION] = "exception", [EXIT] = "exit", [FAILED] = "failed", [STUCK] = "stuck",
	};

	answer("%s %llu %llu %llu", names[ending->how], (unsigned long long)ending->words[0],
	       (unsigned long long)ending->words[1], (unsigned long long)ending->words[2]);
}

static void serve_execute(void)
{
	unsigned int vcpu = argument("vcpu");
	uint64_t address = argument("address"), value = argument("value");
	int kind = argument("kind"), privilege = argument("privilege"), user = privilege == PRIVILEGE_USER;
	enum code code = kind == READ ? READ_CODE : argument("instruction") ? XADD_CODE : WRITE_CODE;
	struct paging p = prepare(vcpu);
	uint64_t mask = is_long(&p) ? ~0ull : 0xffffffff;
	struct kvm_regs regs = {
		.rip = kind == FETCH ? address : code_at(&p, user, code),
		.rbx = address,
		.rcx = value,
		.rax = stub_of(&p) + (user ? USER : DATA) + SCRATCH,
		.rsp = stub_of(&p) + DATA + STACK,
		.rflags = 2 | (privilege == PRIVILEGE_SUPERVISOR_AC ? EFLAGS_AC : 0),
	};
	struct ending ending = { FAILED, { EINVAL } };

	if (is_address(&p, address, is_long(&p) ? 8 : 4))
		ending = touch_stub(vcpu, &p);
	if (ending.how == DONE) {
		load_segments(vcpu, user);
		ending = user && is_pae(&p) ? run_as_pae_user(vcpu, &p, regs) : run(vcpu, &p, &regs, regs.rip);
		if (ending.how == DONE)
			ending.words[2] = word_of(vcpu, address, kind, code, value) & mask;
	}
	answer_ending(&ending);
}

/* Run an instruction of the supervisor. */
static struct ending run_code(unsigned int vcpu, enum code code, uint64_t value)
{
	struct paging p = prepare(vcpu);
	struct kvm_regs regs = {
		.rip = code_at(&p, 0, code),
		.rax = code == EFER_CODE ? (uint32_t)value : value,
		.rbx = value,
		.rcx = MSR_EFER,
		.rdx = value >> 32,
		.rsp = stub_of(&p) + DATA + STACK,
		.rflags = 2,
	};

	/* A vCPU that is to be interrupted runs nothing. */
	if (code != HALT_CODE) {
		struct ending ending = touch_stub(vcpu, &p);

		if (ending.how != DONE)
			return ending;
	}
	return run(vcpu, &p, &regs, regs.rip);
}

/* Write a control register: "code 0", or 1 for #GP. The stub has to be mapped before and after. */
static void write_register(enum code code, size_t which)
{
	unsigned int vcpu = argument("vcpu");
	struct kvm_sregs sregs;
	struct paging next;
	struct ending ending;

	ioctl(vcpu_fd(vcpu), KVM_GET_SREGS, &sregs);
	next = paging_of(&sregs);
	*(uint64_t *)((uint8_t *)&next + which) = argument("value");
	link_stub(vcpu, &next);
	ending = run_code(vcpu, code, argument("value"));
	if (ending.how == DONE || (ending.how == EXCEPTION && ending.words[0] == GP_VECTOR))
		answer("code %d", ending.how == EXCEPTION);
	else
		answer_ending(&ending);
}

static void serve_set_cr0(void)
{
	write_register(CR0_CODE, offsetof(struct paging, cr0));
}

static void serve_set_cr3(void)
{
	write_register(CR3_CODE, offsetof(struct paging, cr3));
}

static void serve_set_cr4(void)
{
	write_register(CR4_CODE, offsetof(struct paging, cr4));
}

static void serve_set_efer(void)
{
	write_register(EFER_CODE, offsetof(struct paging, efer));
}

static void serve_invlpg(void)
{
	struct ending ending = run_code(argument("vcpu"), INVLPG_CODE, argument("address"));

	answer_ending(&ending);
}

static void serve_set_sregs(void)
{
	struct kvm_sregs sregs = {
		.cr0 = argument("cr0"), .cr3 = argument("cr3"), .cr4 = argument("cr4"), .efer = argument("efer"),
	};

	answer_code(start_paging(argument("vcpu"), &sregs));
}

/* As serve_enter() in guest.c. */
static void serve_prepare_entry(void)
{
	struct timespec now = { 0, 0 };
	struct ending ending;
	sigset_t set;

	raise(SIGUSR1);
	ending = run_code(argument("vcpu"), HALT_CODE, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigtimedwait(&set, NULL, &now);
	answer_ending(&ending);
}

const struct request paging_requests[] = {
	{ "execute", serve_execute },
	{ "prepare_entry", serve_prepare_entry },
	{ "set_sregs", serve_set_sregs },
	{ "set_cr0", serve_set_cr0 },
	{ "set_cr3", serve_set_cr3 },
	{ "set_cr4", serve_set_cr4 },
	{ "set_efer", serve_set_efer },
	{ "invlpg", serve_invlpg },
	{ NULL, NULL },
};
