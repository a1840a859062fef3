// SPDX-License-Identifier: GPL-2.0-only
/*
 * The process of a race: stacks, what Python calls, and rewinding to the start.  After the setup all memory that
 * kernel code writes is made read-only; the first write to a page saves its content, and rewinding copies the saved
 * pages back.  Compiled against libc, as process.c.  State that has to survive rewinding is in `saved`.
 */
#define _GNU_SOURCE
#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "machine/serve.h"
#include "process/address_space.h"
#include "process/process.h"
#include "race.h"

#define PAGE		4096UL
#define STACK		(64UL << 10)
#define MAX_PAGES	(64UL << 10)
#define MAX_AREAS	8

extern char env_missing_start[] __attribute__((visibility("hidden")));
extern char env_missing_end[] __attribute__((visibility("hidden")));

struct race_shared *race_shared;

static struct saved {
	struct { unsigned long start, end; } areas[MAX_AREAS];
	unsigned long nr_areas, nr_pages, nr_stacks;
	struct sigaction others;
	struct { char *at, *copy; unsigned long size; } stacks[RACE_THREADS];
	long patience;
	char *pages[MAX_PAGES];
	char alternative[64 << 10];
	char copies[MAX_PAGES][PAGE] __attribute__((aligned(4096)));
} *saved;

static void *map(unsigned long address, unsigned long size)
{
	int fixed = address ? MAP_FIXED_NOREPLACE : 0;
	void *got = mmap((void *)address, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1, 0);

	return got == MAP_FAILED ? NULL : got;
}

/* The address behind a new stack, which has a guard page below. */
static void *new_stack(void)
{
	char *stack = map(0, PAGE + STACK);

	if (!stack || mprotect(stack, PAGE, PROT_NONE))
		env_die(ENV_LIMIT, "there is no memory for stacks", 0);
	return stack + PAGE + STACK;
}

static void add_area(unsigned long start, unsigned long end)
{
	start = (start + PAGE - 1) & -PAGE;
	end &= -PAGE;
	if (start >= end)
		return;
	if (saved->nr_areas == MAX_AREAS)
		env_die(ENV_LIMIT, "the library has too many areas", 0);
	saved->areas[saved->nr_areas].start = start;
	saved->areas[saved->nr_areas++].end = end;
}

/* The library's variables, without what is read-only after loading and the pages of missing symbols. */
static int add_variables(struct dl_phdr_info *info, size_t size, void *unused)
{
	unsigned long here = (unsigned long)&race_shared, relro = 0;
	const ElfW(Phdr) *p, *end = info->dlpi_phdr + info->dlpi_phnum;

	for (p = info->dlpi_phdr; p < end; p++)
		if (p->p_type == PT_GNU_RELRO)
			relro = info->dlpi_addr + p->p_vaddr + p->p_memsz;
	for (p = info->dlpi_phdr; p < end; p++) {
		unsigned long start = info->dlpi_addr + p->p_vaddr, stop = start + p->p_memsz;

		if (p->p_type != PT_LOAD || here < start || here >= stop)
			continue;
		if (relro > start && relro < stop)
			start = relro;
		start &= -PAGE;
		stop = (stop + PAGE - 1) & -PAGE;
		add_area(start, (unsigned long)env_missing_start);
		add_area((unsigned long)env_missing_end, stop);
		return 1;
	}
	return 0;
}

/* Before the first write to a page, save its content; 0 if it is in no area that is rewound. */
static int save_page(unsigned long address)
{
	char *page = (char *)(address & -PAGE);
	unsigned long i;

	for (i = 0; i < saved->nr_areas; i++)
		if (address >= saved->areas[i].start && address < saved->areas[i].end)
			break;
	if (i == saved->nr_areas)
		return 0;
	if (saved->nr_pages == MAX_PAGES)
		env_die(ENV_LIMIT, "a race writes to too many pages", 0);
	memcpy(saved->copies[saved->nr_pages], page, PAGE);
	if (mprotect(page, PAGE, PROT_READ | PROT_WRITE))
		env_die(ENV_LIMIT, "the system protects no more pages one by one (vm.max_map_count)", 0);
	saved->pages[saved->nr_pages++] = page;
	return 1;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	int is_write = regs[REG_ERR] & 2;

	if (info->si_code == SEGV_ACCERR && is_write && save_page((unsigned long)info->si_addr))
		return;
	saved->others.sa_sigaction(number, info, context);
}

static int take_snapshot(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t alternative = { .ss_sp = saved->alternative, .ss_size = sizeof(saved->alternative) };
	unsigned long i;

	if (!dl_iterate_phdr(add_variables, NULL))
		return -1;
	add_area(ENV_DIRECT_MAP, ENV_DIRECT_MAP + ENV_KERNEL_END);
	add_area(RACE_PRIVATE, RACE_PRIVATE + ENV_KERNEL_END);
	add_area(ENV_VMEMMAP, ENV_VMEMMAP + ENV_RAM_END_PFN * 64);
	for (i = 0; i < saved->nr_stacks; i++)
		memcpy(saved->stacks[i].copy, saved->stacks[i].at, saved->stacks[i].size);
	if (sigaltstack(&alternative, NULL) || sigaction(SIGSEGV, &action, &saved->others))
		return -1;
	for (i = 0; i < saved->nr_areas; i++)
		if (mprotect((void *)saved->areas[i].start, saved->areas[i].end - saved->areas[i].start, PROT_READ))
			return -1;
	return 0;
}

/* As kvm_boot(), and create the machine. */
EXPORT int race_boot(struct env_exchange *exchange, struct race_shared *shared, const unsigned long *host,
		     const unsigned long *options, long patience)
{
	int r;

	saved = map(0, sizeof(*saved));
	race_counts = map(0, sizeof(*race_counts) << RACE_COUNTS_BITS);
	if (!saved || !race_counts || !map(RACE_PRIVATE, ENV_KERNEL_END))
		return 1;
	saved->patience = patience;
	race_shared = shared;
	race_register_hooks();
	r = kvm_boot(exchange, host, patience);
	return r ? r : machine_create(options);
}

/* A step of the setup. */
EXPORT void race_setup(unsigned long step, const unsigned long *args)
{
	machine_step(step, args);
}

/* Declare a gfn that guests of the race access. */
EXPORT int race_hot(unsigned long gfn)
{
	return race_add_hot(gfn);
}

EXPORT int race_add(unsigned long cpu, unsigned long nr_steps, const unsigned long *steps)
{
	return race_add_thread(cpu, new_stack(), nr_steps, steps);
}

/* The setup is done: run every thread to its first point, the state that race_begin() rewinds to. */
EXPORT int race_prepare(void)
{
	unsigned long i;

	race_start();
	for (i = 0; i < race_nr_threads(); i++) {
		saved->stacks[i].at = (char *)race_stack_pointer(i);
		saved->stacks[i].size = race_stack_end(i) - race_stack_pointer(i);
		saved->stacks[i].copy = map(0, STACK);
		saved->nr_stacks++;
	}
	return take_snapshot();
}

EXPORT void race_begin(void)
{
	unsigned long i;

	for (i = 0; i < saved->nr_pages; i++)
		memcpy(saved->pages[i], saved->copies[i], PAGE);
	for (i = 0; i < saved->nr_stacks; i++)
		memcpy(saved->stacks[i].at, saved->stacks[i].copy, saved->stacks[i].size);
	env_exchange->events_length = 0;
	race_shared->nr_choices = race_shared->nr_events = race_shared->nr_frames = 0;
	process_set_watchdog(saved->patience);
	race_announce_all();
}

/* Advance a thread, and record the choice: 0, or -1 if it is not ready. */
EXPORT int race_advance(unsigned long thread)
{
	unsigned long n = race_shared->nr_choices;

	if (thread >= saved->nr_stacks || !race_shared->announced[thread].ready)
		return -1;
	if (n == RACE_CHOICES)
		env_die(ENV_BROKEN, "a schedule does not end", 0);
	race_shared->choices[n] = thread;
	race_shared->nr_choices = n + 1;
	race_step(thread);
	return 0;
}

EXPORT int race_finish(const unsigned long *steps, unsigned long nr_steps)
{
	int r = race_close(steps, nr_steps);

	process_set_watchdog(0);
	return r;
}

EXPORT void race_describe(unsigned long thread, struct race_named *named)
{
	race_name(thread, named);
}

EXPORT unsigned long race_pages_saved(void)
{
	return saved->nr_pages;
}

/* A digest of all memory that race_begin() rewinds, written to or not. */
EXPORT unsigned long race_digest(void)
{
	unsigned long i, digest = 0xcbf29ce484222325UL;
	const unsigned long *p, *end;

	for (i = 0; i < saved->nr_areas; i++) {
		p = (void *)saved->areas[i].start;
		end = (void *)saved->areas[i].end;
		if (saved->areas[i].start == ENV_DIRECT_MAP) {
			p = (void *)(ENV_DIRECT_MAP + ENV_KERNEL_START);
			end = (void *)race_memory_end();
		} else if (saved->areas[i].start >= ENV_VMEMMAP) {
			continue;
		}
		for (; p < end; p++)
			digest = (digest ^ *p) * 0x100000001b3UL;
	}
	for (i = 0; i < saved->nr_pages; i++)
		for (p = (void *)saved->pages[i]; p < (const unsigned long *)(saved->pages[i] + PAGE); p++)
			digest = (digest ^ *p) * 0x100000001b3UL;
	for (i = 0; i < saved->nr_stacks; i++)
		for (p = (void *)saved->stacks[i].at; p < (const unsigned long *)(saved->stacks[i].at + saved->stacks[i].size); p++)
			digest = (digest ^ *p) * 0x100000001b3UL;
	return digest;
}
