// SPDX-License-Identifier: GPL-2.0-only
/*
 * Running the module's code as a process: its WARNs and BUGs trap, and so do its writes to the watched
 * word, whose page may only be read where kernel code sees it.
 */
#include "front.h"
#include "shim.h"
#include "sites.h"

/* Linux's interface to processes, of which only this much is needed. */
#define SYS_mmap		9
#define SYS_mprotect		10
#define SYS_rt_sigaction	13
#define SYS_mremap		25
#define SYS_arch_prctl		158
#define ARCH_SET_GS		0x1001
#define PROT_READ		1
#define PROT_WRITE		2
#define MAP_SHARED		1
#define MAP_FIXED		0x10
#define MAP_ANONYMOUS		0x20
#define MREMAP_MAYMOVE		1
#define MREMAP_FIXED		2
#define SIGILL			4
#define SIGTRAP			5
#define SIGBUS			7
#define SIGSEGV			11
#define SA_SIGINFO		4
#define SA_RESTORER		0x04000000
#define SA_NODEFER		0x40000000
#define FLAG_TRAP		(1UL << 8)

struct shim_sigaction {
	void *handler;
	unsigned long flags;
	void *restorer;
	unsigned long mask;
};

/* Of struct ucontext: the registers, in the order of struct sigcontext. */
struct shim_ucontext {
	unsigned long flags;
	void *link;
	unsigned long stack[3];
	u64 r8[8], rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags, segments, err, trapno, mask, cr2;
};

/* A register by the number that instructions have for it. */
static u64 *shim_register(struct shim_ucontext *context, int number)
{
	u64 *const low[] = {
		&context->rax, &context->rcx, &context->rdx, &context->rbx,
		&context->rsp, &context->rbp, &context->rsi, &context->rdi,
	};

	return number < 8 ? low[number] : &context->r8[number - 8];
}

static long shim_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall" : "=a"(result)
			 : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

__asm__(".text\nshim_restorer:\n	mov $15, %eax\n	syscall\n");	/* rt_sigreturn() */
extern char shim_restorer[];

/*
 * The watched word: the same page twice, to be read by kernel code and to be written by us.  It is in the
 * host's memory, where a table would be, and no walk comes so far.
 */
#define shim_word_page	(&shim_memory[(SHIM_MEMORY_PAGES - 1) << PAGE_SHIFT])
static u8 shim_word_alias[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static bool watching, race, stepping;
static u64 raced, accesses;
int shim_stop_at_write;

#define shim_word	(*(volatile u64 *)shim_word_alias)

u64 *shim_watch(u64 value, u64 other)
{
	shim_word = value;
	raced = other;
	watching = race = true;
	accesses = 0;
	return (u64 *)shim_word_page;
}

u64 shim_watched(u64 *value)
{
	watching = false;
	*value = shim_word;
	return accesses;
}

static void shim_writable(bool writable)
{
	shim_syscall(SYS_mprotect, (long)shim_word_page, PAGE_SIZE,
		     PROT_READ | (writable ? PROT_WRITE : 0), 0, 0, 0);
}

/* Whether the instruction is LOCKed or an XCHG with memory, which always is. */
static bool shim_is_atomic(const u8 *code)
{
	for (;; code++) {
		if (*code == 0xf0)
			return true;
		/* Sizes, segments and repetition, then REX. */
		if (*code != 0x66 && *code != 0x67 && *code != 0x2e && *code != 0x3e &&
		    *code != 0x65 && *code != 0xf2 && *code != 0xf3 && (*code & 0xf0) != 0x40)
			break;
	}
	return *code == 0x86 || *code == 0x87;
}

/*
 * Carry out a store of 64 bits, MOV or XCHG from a register, as kernel code does it nearly always: one trap
 * instead of two.  False if it is any other instruction.
 */
static bool shim_store(struct shim_ucontext *context)
{
	const u8 *code = (const u8 *)context->rip;
	u8 rex = code[0], modrm = code[2], mode = modrm >> 6, base = modrm & 7;
	int size = 3;
	u64 *from, old;

	if ((rex & 0xf8) != 0x48 || (code[1] != 0x89 && code[1] != 0x87) || mode == 3)
		return false;
	if (base == 4) {
		size++;
		base = code[3] & 7;
	}
	size += mode == 1 ? 1 : mode == 2 || base == 5 ? 4 : 0;
	from = shim_register(context, (modrm >> 3 & 7) | (rex & 4) << 1);
	old = shim_word;
	shim_word = *from;
	if (code[1] == 0x87)
		*from = old;
	context->rip += size;
	return true;
}

static void shim_reset(int signal)
{
	struct shim_sigaction as_usual = {};

	shim_syscall(SYS_rt_sigaction, signal, (long)&as_usual, 0, 8, 0, 0);
}

/* Tell where it dies, behind the index of the case; then do. */
static void shim_die(int signal, const struct shim_ucontext *context)
{
	shim_at[1] = context->rip;
	shim_at[2] = signal == SIGSEGV ? context->cr2 : 0;
	shim_at[3] = context->err;
	shim_at[4] = signal;
	/* Code that lies nowhere was called from what the stack tells. */
	shim_at[5] = signal == SIGSEGV && context->rip == context->cr2 ? *(u64 *)context->rsp : 0;
	shim_reset(signal);
}

static void shim_on_signal(int signal, void *info, struct shim_ucontext *context)
{
	const struct shim_site *site;

	if (signal == SIGSEGV && watching && context->cr2 - (u64)shim_word_page < PAGE_SIZE &&
	    (context->err & 2)) {
		if (race)
			shim_word = raced;
		race = false;
		accesses += shim_is_atomic((const u8 *)context->rip) ? 1 << 8 : 1;
		if (shim_store(context)) {
			if (shim_stop_at_write)
				__builtin_longjmp(shim_bug_return, 1);
			return;
		}
		shim_writable(true);
		stepping = true;
		context->eflags |= FLAG_TRAP;
		return;
	}
	if (signal == SIGTRAP && stepping) {
		stepping = false;
		context->eflags &= ~FLAG_TRAP;
		shim_writable(false);
		if (shim_stop_at_write)
			__builtin_longjmp(shim_bug_return, 1);
		return;
	}
	site = signal == SIGILL ? shim_site(context->rip) : NULL;
	if (!site) {
		shim_die(signal, context);
	} else if (site->is_bug) {
		shim_bug(site->function);	/* No signal is blocked: it may leave from here. */
	} else {
		shim_event("WARN", site->function);
		context->rip += 2;
	}
}

/* Before anything else, in the process that is to run kernel code. 0, or an error of the system's. */
long shim_begin(void);
long shim_begin(void)
{
	static const int signals[] = { SIGILL, SIGTRAP, SIGBUS, SIGSEGV };
	struct shim_sigaction action = {
		.handler = shim_on_signal,
		.flags = SA_SIGINFO | SA_RESTORER | SA_NODEFER,
		.restorer = shim_restorer,
	};
	long error;
	int i;

	for (i = 0; i < ARRAY_SIZE(signals); i++) {
		error = shim_syscall(SYS_rt_sigaction, signals[i], (long)&action, 0, 8, 0, 0);
		if (error)
			return error;
	}
	error = shim_syscall(SYS_mmap, (long)shim_word_alias, PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (error != (long)shim_word_alias)
		return error;
	/* Of nothing, to a new place: a second mapping of the same shared page. */
	error = shim_syscall(SYS_mremap, (long)shim_word_alias, 0, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
			     (long)shim_word_page, 0);
	if (error != (long)shim_word_page)
		return error;
	error = shim_syscall(SYS_mprotect, (long)shim_word_page, PAGE_SIZE, PROT_READ, 0, 0, 0);
	if (error)
		return error;
	return shim_syscall(SYS_arch_prctl, ARCH_SET_GS, (long)shim_percpu, 0, 0, 0, 0);
}
