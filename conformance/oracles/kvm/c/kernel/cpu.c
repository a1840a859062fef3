// SPDX-License-Identifier: GPL-2.0-only
/*
 * One CPU, always online, and the task that runs on it.  Per-CPU variables are where the linker put them: the gs
 * base is 0, and so is the offset of CPU 0.  (A race swaps their contents with the thread.)
 */
#include <linux/cpumask.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <asm/fpu/types.h>
#include <asm/processor.h>
#include "process/stand_in.h"
#include "cpu.h"
#include "memory.h"

static struct task_struct *new_task(void)
{
	struct task_struct *task = env_object(sizeof(*task), true);

	refcount_set(&task->usage, 1);
	return task;
}

/* The section of KVM's own per-CPU variables. */
#define PER_CPU		__section(".data..percpu")

unsigned long env_this_cpu_off STANDS_IN(this_cpu_off);
unsigned long env_per_cpu_offset[NR_CPUS] STANDS_IN(__per_cpu_offset);
unsigned int env_nr_cpu_ids STANDS_IN(nr_cpu_ids) = 1;
unsigned long env_cpu_online_mask[BITS_TO_LONGS(NR_CPUS)] STANDS_IN(__cpu_online_mask) = { 1 };
unsigned long env_cpu_possible_mask[BITS_TO_LONGS(NR_CPUS)] STANDS_IN(__cpu_possible_mask) = { 1 };
atomic_t env_num_online_cpus STANDS_IN(__num_online_cpus) = ATOMIC_INIT(1);

/* Each is known by a second name, under which the compiler may treat it as constant. */
#ifdef HAVE_pcpu_hot
struct pcpu_hot pcpu_hot PER_CPU = { .preempt_count = PREEMPT_ENABLED };
__asm__(".globl const_pcpu_hot\n.hidden const_pcpu_hot\n.set const_pcpu_hot, pcpu_hot\n");
#define set_current(task)	(pcpu_hot.current_task = (task))
#define set_cpu_number(cpu)	(pcpu_hot.cpu_number = (cpu))
#else
DEFINE_PER_CPU(typeof(__preempt_count), __preempt_count) = PREEMPT_ENABLED;
int env_cpu_number STANDS_IN(cpu_number) PER_CPU;
struct task_struct *env_current STANDS_IN(current_task) PER_CPU;
__asm__(".globl const_current_task\n.hidden const_current_task\n.set const_current_task, current_task\n");
#define set_current(task)	(env_current = (task))
#define set_cpu_number(cpu)	(env_cpu_number = (cpu))
#endif

struct task_struct *env_fellow_task(void)
{
	struct task_struct *task = new_task();

	memcpy(task, current, sizeof(*task));
	/* It outlives the machine, which has not leaked it. */
	env_ledger.objects--;
	return task;
}

unsigned int env_cpumask_next(int cpu, const struct cpumask *mask) STANDS_IN(cpumask_next);
unsigned int env_cpumask_next(int cpu, const struct cpumask *mask)
{
	return find_next_bit(cpumask_bits(mask), nr_cpumask_bits, cpu + 1);
}

void env_become(struct task_struct *task, int cpu)
{
	set_current(task);
	set_cpu_number(cpu);
}

void env_bring_up(int cpus)
{
	env_nr_cpu_ids = cpus;
	env_cpu_online_mask[0] = (1UL << cpus) - 1;
}

static bool resched_wanted;

void env_begin_step(void)
{
	env_set_need_resched(resched_wanted);
}

void env_set_need_resched(bool on)
{
	resched_wanted = on;
	if (on)
		set_tsk_thread_flag(current, TIF_NEED_RESCHED);
	else
		clear_tsk_thread_flag(current, TIF_NEED_RESCHED);
}

/* Calls on other CPUs, or on all: there is only this one. */
int env_smp_call_single(int cpu, smp_call_func_t func, void *info, int wait)
	STANDS_IN(smp_call_function_single);
int env_smp_call_single(int cpu, smp_call_func_t func, void *info, int wait)
{
	func(info);
	return 0;
}

void env_on_each_cpu(smp_cond_func_t condition, smp_call_func_t func, void *info, bool wait, const void *mask)
	STANDS_IN(on_each_cpu_cond_mask);
void env_on_each_cpu(smp_cond_func_t condition, smp_call_func_t func, void *info, bool wait, const void *mask)
{
	if (!condition || condition(0, info))
		func(info);
}

void env_on_every_cpu(smp_call_func_t func, void *info, int wait) STANDS_IN(on_each_cpu);
void env_on_every_cpu(smp_call_func_t func, void *info, int wait)
{
	func(info);
}

/* The CPU is online already, so its startup callback runs now. */
int env_cpuhp_setup(int state, const char *name, bool invoke, int (*startup)(unsigned int cpu),
		    int (*teardown)(unsigned int cpu), bool multi) STANDS_IN(__cpuhp_setup_state);
int env_cpuhp_setup(int state, const char *name, bool invoke, int (*startup)(unsigned int cpu),
		    int (*teardown)(unsigned int cpu), bool multi)
{
	return invoke && startup ? startup(0) : 0;
}

#ifdef HAVE_fpu_guest
/* KVM looks at the size and the features of a guest's FPU state only. */
bool fpu_alloc_guest_fpstate(struct fpu_guest *guest)
{
	guest->fpstate = env_object(sizeof(*guest->fpstate), true);
	return true;
}

void fpu_free_guest_fpstate(struct fpu_guest *guest)
{
	env_kfree(guest->fpstate);
}
#endif

/* Model-specific registers: PAT as the kernel sets it, EFER of a 64-bit kernel, and 0 for the rest. */
__asm__(".pushsection .text\n"
	".globl env_rdmsr\n"
	".hidden env_rdmsr\n"
	"env_rdmsr:\n"
	"	xorl %eax, %eax\n"
	"	xorl %edx, %edx\n"
	"	cmpl $0xc0000080, %ecx\n"
	"	jne 1f\n"
	"	movl $0xd01, %eax\n"
	"	ret\n"
	"1:	cmpl $0x277, %ecx\n"
	"	jne 2f\n"
	"	movl $0x00070406, %eax\n"
	"	movl %eax, %edx\n"
	"2:	ret\n"
	".popsection\n");

void env_cpu_init(void)
{
	static const int capabilities[] = {
		X86_FEATURE_FPU, X86_FEATURE_FXSR, X86_FEATURE_NX, X86_FEATURE_GBPAGES, X86_FEATURE_LM,
		X86_FEATURE_PAT, X86_FEATURE_MTRR, X86_FEATURE_CONSTANT_TSC,
	};
	struct mm_struct *mm;
	int i;

	for (i = 0; i < ARRAY_SIZE(capabilities); i++)
		set_cpu_cap(&boot_cpu_data, capabilities[i]);
	set_current(new_task());
	mm = env_object(sizeof(*mm), true);
	mm->pgd = env_table_page();
	atomic_set(&mm->mm_count, 1);
	atomic_set(&mm->mm_users, 1);
	current->mm = mm;
}
