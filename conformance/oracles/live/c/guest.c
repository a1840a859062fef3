// SPDX-License-Identifier: GPL-2.0-only
// The guest: its own tables and code, and the run of one instruction.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

/* Offsets into the stub. */
#define PML4 0x0
#define LOW 0x1000
#define HIGH 0x2000
#define READ_CODE 0x3000
#define WRITE_CODE 0x3010
#define HALT_CODE 0x3020
#define SCRATCH 0x4000

/* Present, writable, accessed, dirty; the processor has nothing to set in these tables. */
#define TABLE 0x67ull
#define HUGE_LEAF 0xe7ull

#define READ 1
#define WRITE 2
#define FETCH 4

/* Exits to userspace that one instruction may take. */
#define MOST_EXITS 32
/* Seconds after which a guest that makes no progress is interrupted. */
#define PATIENCE 60

/* Every gfn below 512 GiB is mapped at its own address; the stub lies behind them. */
void fill_stub(uint8_t *stub)
{
	uint64_t *pml4 = (uint64_t *)(stub + PML4), *low = (uint64_t *)(stub + LOW),
		 *high = (uint64_t *)(stub + HIGH);

	memset(stub, 0, STUB_SIZE);
	pml4[0] = (STUB + LOW) | TABLE;
	pml4[1] = (STUB + HIGH) | TABLE;
	high[0] = STUB | HUGE_LEAF;
	for (uint64_t n = 0; n < 512; n++)
		low[n] = n << 30 | HUGE_LEAF;
	memcpy(stub + READ_CODE, "\x8a\x0b\xf4", 3);	/* mov (%rbx), %cl; hlt */
	memcpy(stub + WRITE_CODE, "\x88\x0b\xf4", 3);	/* mov %cl, (%rbx); hlt */
	memcpy(stub + HALT_CODE, "\xf4", 1);		/* hlt */
}

static struct kvm_segment segment(int type, int selector, int long_mode)
{
	return (struct kvm_segment){
		.limit = 0xffffffff, .selector = selector, .present = 1, .type = type,
		.s = 1, .g = 1, .db = !long_mode, .l = long_mode,
	};
}

long start_long_mode(int fd)
{
	struct kvm_sregs sregs;

	if (ioctl(fd, KVM_GET_SREGS, &sregs))
		return -1;
	sregs.cs = segment(11, 8, 1);
	sregs.ds = segment(3, 16, 0);
	sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
	sregs.cr0 = 0x80010011;		/* PG, WP, ET, PE */
	sregs.cr4 = 0x20;		/* PAE */
	sregs.efer = 0xd00;		/* NX, LMA, LME */
	sregs.cr3 = STUB + PML4;
	return ioctl(fd, KVM_SET_SREGS, &sregs);
}

/*
 * Set the place at which a vCPU goes on. A fetch is single-stepped, since it executes what the page holds:
 * zeros, an addition to (%rax). The request to single-step is repeated as it concerns the rip at that time.
 * Other accesses halt: after emulated MMIO, KVM does not honour single-stepping. Bochs leaves a trap pending
 * when a fetch that is single-stepped fails; single-stepping takes it from the guest, at the next access.
 */
static void set_registers(int fd, uint64_t rip, uint64_t address)
{
	struct kvm_regs regs = {
		.rip = rip, .rbx = address, .rax = STUB + SCRATCH, .rflags = 2,
	};
	struct kvm_guest_debug debug = {
		.control = rip >= STUB && !in_bochs ? 0 : KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP,
	};

	ioctl(fd, KVM_SET_REGS, &regs);
	ioctl(fd, KVM_SET_GUEST_DEBUG, &debug);
}

static void ignore(int number)
{
	(void)number;
}

void prepare_signals(void)
{
	struct sigaction handling = { .sa_handler = ignore };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGUSR1, &handling, NULL);
	sigaction(SIGALRM, &handling, NULL);
}

/*
 * Run the guest until its instruction has completed. The answer's last line says how it ended:
 *
 *   done             it completed
 *   failed ERRNO     KVM_RUN failed
 *   exit REASON N    another exit to userspace; N is the suberror or the hardware's reason
 *   stuck            no progress
 *
 * MMIO is completed with zeros, and said before: "mmio ADDRESS IS_WRITE".
 */
static void run_guest(unsigned int vcpu, uint64_t start)
{
	struct kvm_run *run = vcpu_run(vcpu);

	for (int n = 0; n < MOST_EXITS; n++) {
		int result;

		alarm(PATIENCE);
		result = ioctl(vcpu_fd(vcpu), KVM_RUN, 0);
		if (!alarm(0) && result < 0 && errno == EINTR)
			break;
		if (result < 0) {
			answer("failed %d", errno);
			return;
		}
		switch (run->exit_reason) {
		case KVM_EXIT_MMIO:
			answer("mmio %llu %d", run->mmio.phys_addr, run->mmio.is_write);
			memset(run->mmio.data, 0, sizeof(run->mmio.data));
			continue;
		case KVM_EXIT_DEBUG:
			/* Not yet executed: the exit came first. */
			if (run->debug.arch.pc == start)
				continue;
			/* fallthrough */
		case KVM_EXIT_HLT:
			answer("done");
			return;
		case KVM_EXIT_INTERNAL_ERROR:
			answer("exit %u %u", run->exit_reason, run->internal.suberror);
			return;
		case KVM_EXIT_FAIL_ENTRY:
			answer("exit %u %llu", run->exit_reason,
			       run->fail_entry.hardware_entry_failure_reason);
			return;
		default:
			answer("exit %u 0", run->exit_reason);
			return;
		}
	}
	answer("stuck");
}

static void run_stub(unsigned int vcpu, uint64_t rip, uint64_t address)
{
	set_registers(vcpu_fd(vcpu), rip, address);
	run_guest(vcpu, rip);
}

static void serve_access(void)
{
	uint64_t address = argument("gfn") * PAGE_SIZE, kind = argument("kind");

	run_stub(argument("vcpu"),
		 kind == FETCH ? address : STUB + (kind == WRITE ? WRITE_CODE : READ_CODE), address);
}

/*
 * With a signal pending, KVM prepares the entry (it serves requests and loads the root), then gives up.
 * run->immediate_exit would return before that.
 */
static void serve_enter(void)
{
	struct timespec now = { 0, 0 };
	sigset_t set;

	raise(SIGUSR1);
	run_stub(argument("vcpu"), STUB + HALT_CODE, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigtimedwait(&set, NULL, &now);
}

/* Run the stub's own code, so that its pages are mapped. */
static void serve_warm(void)
{
	run_stub(argument("vcpu"), STUB + HALT_CODE, 0);
}

/* An exception that a failed emulation left pending is dropped: kept, it would be delivered later. */
static void serve_smm(void)
{
	struct kvm_vcpu_events events = {
		.flags = KVM_VCPUEVENT_VALID_SMM,
		.smi.smm = argument("on"),
	};

	answer_code(ioctl(vcpu_fd(argument("vcpu")), KVM_SET_VCPU_EVENTS, &events));
}

const struct request guest_requests[] = {
	{ "access", serve_access },
	{ "enter", serve_enter },
	{ "warm", serve_warm },
	{ "smm", serve_smm },
	{ NULL, NULL },
};
