// SPDX-License-Identifier: GPL-2.0-only
/*
 * Deferred work: it runs when the kernel flushes it, or at the end of the step.  Time stands still, so timers and
 * delayed work never expire; threads that KVM starts only wait for time to pass, so they do not run.
 */
#include <linux/kthread.h>
#include <linux/rcuwait.h>
#include <linux/sched/task.h>
#include <linux/workqueue.h>
#include "process/exchange.h"
#include "process/scheduler.h"
#include "process/stand_in.h"
#include "cpu.h"
#include "memory.h"
#include "rcu.h"
#include "workqueue.h"

static LIST_HEAD(works);

bool queue_work_on(int cpu, struct workqueue_struct *queue, struct work_struct *work)
{
	if (test_and_set_bit(WORK_STRUCT_PENDING_BIT, work_data_bits(work)))
		return false;
	list_add_tail(&work->entry, &works);
	return true;
}

void env_run_works(void)
{
	while (!list_empty(&works)) {
		struct work_struct *work = list_first_entry(&works, struct work_struct, entry);

		list_del_init(&work->entry);
		clear_bit(WORK_STRUCT_PENDING_BIT, work_data_bits(work));
		work->func(work);
	}
	env_run_srcu();
}

void env_flush_workqueue(struct workqueue_struct *queue) STANDS_IN(__flush_workqueue);
void env_flush_workqueue(struct workqueue_struct *queue)
{
	env_run_works();
}
void env_flush_this_workqueue(struct workqueue_struct *queue)
	STANDS_IN(flush_workqueue) __attribute__((alias("__flush_workqueue")));

bool flush_work(struct work_struct *work)
{
	env_run_works();
	return true;
}

bool cancel_work_sync(struct work_struct *work)
{
	if (!test_and_clear_bit(WORK_STRUCT_PENDING_BIT, work_data_bits(work)))
		return false;
	list_del_init(&work->entry);
	return true;
}

struct workqueue_struct *env_alloc_workqueue(const char *format, unsigned int flags, int max_active, ...)
	STANDS_IN(alloc_workqueue);
struct workqueue_struct *env_alloc_workqueue(const char *format, unsigned int flags, int max_active, ...)
{
	return env_object(1, true);
}

void env_destroy_workqueue(struct workqueue_struct *queue) STANDS_IN(destroy_workqueue);
void env_destroy_workqueue(struct workqueue_struct *queue)
{
	env_run_works();
	env_kfree(queue);
}

/* A thread exists only to be stopped again. */
static void *new_thread(void)
{
	struct task_struct *task = env_object(sizeof(*task), true);

	refcount_set(&task->usage, 1);
	return task;
}

void *env_kthread_create(int (*func)(void *data), void *data, int node, const char *format, ...)
	STANDS_IN(kthread_create_on_node);
void *env_kthread_create(int (*func)(void *data), void *data, int node, const char *format, ...)
{
	return new_thread();
}

void *env_kthread_create_worker(unsigned int flags, const char *format, ...) STANDS_IN(kthread_create_worker);
void *env_kthread_create_worker(unsigned int flags, const char *format, ...)
{
	struct kthread_worker *worker = env_object(sizeof(*worker), true);

	worker->task = new_thread();
	return worker;
}

void kthread_destroy_worker(struct kthread_worker *worker)
{
	env_kfree(worker->task);
	env_kfree(worker);
}

int kthread_stop(struct task_struct *task)
{
	env_kfree(task);
	return 0;
}

/* v6.14 and later: the thread that recovers NX huge pages. */
void *env_vhost_task_create(void *func, void *handle_sigkill, void *data, const char *name)
	STANDS_IN(vhost_task_create);
void *env_vhost_task_create(void *func, void *handle_sigkill, void *data, const char *name)
{
	return new_thread();
}

void env_vhost_task_stop(void *task) STANDS_IN(vhost_task_stop);
void env_vhost_task_stop(void *task)
{
	env_kfree(task);
}

#ifdef HAVE_finish_rcuwait
void finish_rcuwait(struct rcuwait *wait)
{
	rcu_assign_pointer(wait->task, NULL);
}
#endif

static bool is_awake(const void *task, u64 since)
{
	return READ_ONCE(task_state((struct task_struct *)task)) == TASK_RUNNING;
}

/* Outside of a race, no other task exists that could wake the sleeper. */
void schedule(void)
{
	if (racing()) {
		sched_wait(current, is_awake, 0);
		return;
	}
	env_die(ENV_BROKEN, "waits for what no other task will do", (unsigned long)__builtin_return_address(0));
}

/* Shrinkers are never called: there is no shortage of memory. */
void *env_shrinker_alloc(unsigned int flags, const char *format, ...) STANDS_IN(shrinker_alloc);
void *env_shrinker_alloc(unsigned int flags, const char *format, ...)
{
	return env_object(256, true);
}
