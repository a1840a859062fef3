/* SPDX-License-Identifier: GPL-2.0-only */
/* CPUs and tasks. */
#ifndef CONFORMANCE_KVM_CPU_H
#define CONFORMANCE_KVM_CPU_H

#include <linux/types.h>

/* CPUs of a race: one per vCPU, then one for each thread that is no vCPU.  An ordinary machine has CPU 0 only. */
#define MAX_VCPUS	8
#define MAX_OTHER_CPUS	8
#define MAX_CPUS	(MAX_VCPUS + MAX_OTHER_CPUS)

struct task_struct;

/* What a task does. */
#ifdef HAVE_task_state
#define task_state(task)	((task)->__state)
#else
#define task_state(task)	((task)->state)
#endif

void env_cpu_init(void);
void env_set_need_resched(bool on);
/* need_resched() is as it was set, whatever a step before has done. */
void env_begin_step(void);

/* A copy of the running task, with the same memory. */
struct task_struct *env_fellow_task(void);
/* Make a task current, on a CPU. */
void env_become(struct task_struct *task, int cpu);
/* Bring so many CPUs online. */
void env_bring_up(int cpus);

#endif
