// SPDX-License-Identifier: GPL-2.0-only
/*
 * What stands in for the rest of the kernel, and for functions of the module that a case answers.  What
 * is defined here takes the place of the module's own (linking.py), with the reason why it is faithful.
 * Any other symbol that the module wants lies where there is no memory: who uses it ends the process,
 * with the symbol's name.
 */
#include "front.h"
#include "shim.h"

/* Under their own names, so that they take the place of the module's. */
#define shim_try_to_unsync_pages	mmu_try_to_unsync_pages
#define shim_need_write_protect		mmu_need_write_protect
#include "entries/answers.h"

u32 shim_l1tf_bit;

/* A host without memory encryption of its own: every bit of an address may be used. */
u64 physical_mask = (1ULL << 52) - 1;
u64 sme_me_mask;

/* There is no zero page, and no preemption. */
unsigned long zero_pfn = ~0UL;
unsigned long zero_page_pfn = ~0UL;
void shim_nothing(void);
void shim_nothing(void)
{
}
#define NOTHING(symbol)							\
void shim_nothing_##symbol(void) __asm__(#symbol) __attribute__((alias("shim_nothing")))
NOTHING(__SCT__preempt_schedule);
NOTHING(__SCT__preempt_schedule_notrace);
NOTHING(__SCT__cond_resched);
NOTHING(__SCT__might_resched);

/* Locks and RCU: functions are called one at a time in one thread, as if every lock were held. */
NOTHING(__rcu_read_lock);
NOTHING(__rcu_read_unlock);
NOTHING(rcu_read_unlock_strict);

/* What the kernel prints beside a WARN; the WARN is the observation. */
NOTHING(__warn_printk);
NOTHING(_printk);
NOTHING(printk);
int ___ratelimit(void *state, const char *function);
int ___ratelimit(void *state, const char *function)
{
	return 1;
}

/*
 * The check of an index that newer kernels are compiled with.  A case's level 4 or 5 is beyond the reverse map,
 * which callers.h leaves before it is used: not complained of there.
 */
int shim_index_unchecked;
void __ubsan_handle_out_of_bounds(void *data, unsigned long index);
void __ubsan_handle_out_of_bounds(void *data, unsigned long index)
{
	if (!shim_index_unchecked)
		shim_event("UBSAN", "out_of_bounds");
}

/*
 * The processor's own memory, where %gs points: the stack's guard where older kernels have it, and what
 * functions of this context ask about the current task and CPU, all of it zero.  A symbol is an offset in it.
 */
u8 shim_percpu[4096] __attribute__((aligned(4096)));
#define PERCPU(symbol, offset)	__asm__(".globl " #symbol "\n.set " #symbol ", " #offset)
PERCPU(__preempt_count, 0x100);
PERCPU(cpu_number, 0x108);
PERCPU(this_cpu_off, 0x110);
PERCPU(current_task, 0x118);
PERCPU(const_current_task, 0x118);
PERCPU(__ref_stack_chk_guard, 0x120);
PERCPU(pcpu_hot, 0x140);
PERCPU(const_pcpu_hot, 0x140);

/* What the kernel patches as it boots: jumps need no cover here. */
__asm__(".text\n"
	".globl __x86_return_thunk\n"
	"__x86_return_thunk:\n"
	"	ret\n");

/*
 * Every function of the module's begins with a call of this, by which a live patch takes functions over: what
 * it returns to is then another function, called as the first one was.
 */
struct shim_patch shim_patches[3];

__asm__(".text\n"
	".globl __fentry__\n"
	"__fentry__:\n"
	"	cmpq $0, shim_patches\n"
	"	jne 1f\n"
	"	ret\n"
	"1:	push %rax\n"
	"	mov 8(%rsp), %rax\n"
	"	cmp %rax, shim_patches\n"
	"	je 2f\n"
	"	cmp %rax, shim_patches + 16\n"
	"	je 3f\n"
	"	cmp %rax, shim_patches + 32\n"
	"	je 5f\n"
	"	pop %rax\n"
	"	ret\n"
	"2:	mov shim_patches + 8, %rax\n"
	"	jmp 4f\n"
	"5:	mov shim_patches + 40, %rax\n"
	"	jmp 4f\n"
	"3:	mov shim_patches + 24, %rax\n"
	"4:	mov %rax, 8(%rsp)\n"
	"	pop %rax\n"
	"	ret\n");

void shim_patch(int slot, void *function, void *by)
{
	static const u8 endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	u8 *code = function;

	/* Behind the call, which is the function's first instruction, or the second where jumps may lead to it. */
	if (code && *(u32 *)code == *(const u32 *)endbr64)
		code += sizeof(endbr64);
	shim_patches[slot] = (struct shim_patch){ code ? code + 5 : NULL, by };
}
#define THUNK(register)							\
__asm__(".globl __x86_indirect_thunk_" #register "\n"			\
	"__x86_indirect_thunk_" #register ":\n"				\
	"	jmp *%" #register "\n")
THUNK(rax);
THUNK(rbx);
THUNK(rcx);
THUNK(rdx);
THUNK(rsi);
THUNK(rdi);
THUNK(rbp);
THUNK(r8);
THUNK(r9);
THUNK(r10);
THUNK(r11);
THUNK(r12);
THUNK(r13);
THUNK(r14);
THUNK(r15);
