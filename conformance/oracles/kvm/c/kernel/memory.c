// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's memory: pages and objects out of the direct map, poisoned when allocated and when freed, so that
 * reading uninitialised or freed memory does not go unnoticed.  Allocations are counted.  There is no shortage:
 * the machine ends with ENV_LIMIT when memory is used up.
 */
#include <linux/mm.h>
#include "process/events.h"
#include "memory.h"

/* As the kernel's own debugging fills memory (include/linux/poison.h). */
#define FRESH	0x5a

struct env_ledger env_ledger;
const struct memory_hooks *memory_hooks;

/* The direct map, and the memory map beside it. */
unsigned long page_offset_base = ENV_DIRECT_MAP;
unsigned long vmemmap_base = ENV_VMEMMAP;
unsigned long phys_base;
unsigned int ptrs_per_p4d = 1;
unsigned int pgdir_shift = 39;
struct mem_section **mem_section;

/* Freed runs by order, linked through their memory's second word. */
#define MAX_RUN	20
static void *free_runs[MAX_RUN];
static unsigned long unused = ENV_DIRECT_MAP + ENV_KERNEL_START;

static u64 serials[ENV_KERNEL_END >> PAGE_SHIFT];
static u64 last_serial;

static unsigned long index_of(const void *page)
{
	return ((unsigned long)page - ENV_DIRECT_MAP) >> PAGE_SHIFT;
}

u64 env_serial(const void *page)
{
	unsigned long index = index_of(page);

	return index < ARRAY_SIZE(serials) ? serials[index] : 0;
}

unsigned long env_unused(void)
{
	return unused;
}

/* Freed memory must be as it was left, except for the word that links it. */
static void check_untouched(const void *freed, size_t size)
{
	const u64 *word = freed;
	size_t i;

	for (i = 0; i < size / 8; i++)
		if (i != 1 && word[i] != ENV_FREED * 0x0101010101010101ULL)
			break;
	if (i < size / 8)
		env_complain("MEMORY", "what was freed was written to");
}

static void *take_run(unsigned int order)
{
	unsigned long size = PAGE_SIZE << order;
	void *run = free_runs[order];

	if (run) {
		free_runs[order] = ((void **)run)[1];
		check_untouched(run, size);
		return run;
	}
	unused = ALIGN(unused, size);
	if (order >= MAX_RUN || unused + size > ENV_DIRECT_MAP + ENV_KERNEL_END)
		env_die(ENV_LIMIT, "the kernel's memory is used up", 0);
	run = (void *)unused;
	unused += size;
	return run;
}

static void *get_pages(unsigned int order, bool zero)
{
	void *run = take_run(order);

	memset(run, zero ? 0 : FRESH, PAGE_SIZE << order);
	serials[index_of(run)] = ++last_serial;
	return run;
}

static void put_pages(void *run, unsigned int order)
{
	memset(run, ENV_FREED, PAGE_SIZE << order);
	((void **)run)[1] = free_runs[order];
	free_runs[order] = run;
	serials[index_of(run)] = 0;
}

void *env_table_page(void)
{
	return get_pages(0, true);
}

struct page *env_get_run(gfp_t gfp, unsigned int order)
{
	struct page *page = virt_to_page(get_pages(order, gfp & __GFP_ZERO));

	memset(page, 0, sizeof(*page));
	atomic_set(&page->_refcount, 1);
	env_ledger.pages += 1L << order;
	return page;
}

/* A free page has serial number 0. */
void env_put_run(void *run, unsigned int order)
{
	if (!serials[index_of(run)]) {
		env_complain("MEMORY", "a page is freed twice");
		return;
	}
	env_ledger.pages -= 1L << order;
	put_pages(run, order);
}

/*
 * Objects have a header in front with the size.  Small ones are on a free list per size when freed; large ones are
 * runs of pages.
 */
#define STEP		64UL
#define SMALL		2048UL
static void *free_objects[SMALL / STEP + 1];
static char *slab, *slab_end;

struct header { u64 size, unused[7]; };

static void *take_small(size_t size)
{
	void *object = free_objects[size / STEP];
	size_t whole = size + sizeof(struct header);

	if (object) {
		free_objects[size / STEP] = ((void **)object)[1];
		check_untouched(object, size);
		return object;
	}
	if (slab + whole > slab_end) {
		slab = take_run(4);
		slab_end = slab + (PAGE_SIZE << 4);
	}
	object = slab + sizeof(struct header);
	slab += whole;
	return object;
}

static void *take_large(size_t size)
{
	/* The header is in a page in front, so that requests for whole pages are aligned. */
	return take_run(get_order(size + PAGE_SIZE)) + PAGE_SIZE;
}

void *env_object(size_t size, bool zero)
{
	size_t rounded = max(ALIGN(size, STEP), STEP);
	void *object = rounded <= SMALL ? take_small(rounded) : take_large(rounded);
	struct header *header = object - sizeof(*header);

	memset(object, zero ? 0 : FRESH, rounded);
	header->size = rounded;
	if (unlikely(memory_hooks))
		memory_hooks->allocated(object, size);
	env_ledger.objects++;
	return object;
}

void env_put_object(void *object)
{
	struct header *header = object - sizeof(*header);
	size_t size;

	if (!object)
		return;
	size = header->size;
	if (!size || size % STEP || size > ENV_KERNEL_END) {
		env_complain("MEMORY", "what is freed was not allocated");
		return;
	}
	env_ledger.objects--;
	if (unlikely(memory_hooks))
		memory_hooks->freed(object, size);
	header->size = 0;
	memset(object, ENV_FREED, size);
	if (size <= SMALL) {
		((void **)object)[1] = free_objects[size / STEP];
		free_objects[size / STEP] = object;
	} else {
		put_pages(object - PAGE_SIZE, get_order(size + PAGE_SIZE));
	}
}

/* The environment's own memory, which threads of a race do not share. */
static void hide(void *object, size_t size)
{
	if (unlikely(memory_hooks))
		memory_hooks->hide(object, size);
}

/*
 * The memory map: sections for the kernel's memory and for the host's, present since boot, so that pfn_valid()
 * is true of all RAM.
 */
static void add_sections(unsigned long start_pfn, unsigned long end_pfn)
{
	unsigned long nr;

	for (nr = pfn_to_section_nr(start_pfn); nr <= pfn_to_section_nr(end_pfn - 1); nr++) {
		struct mem_section **root = &mem_section[SECTION_NR_TO_ROOT(nr)];

		if (!*root)
			*root = env_table_page();
		hide(*root, PAGE_SIZE);
		(*root)[nr & SECTION_ROOT_MASK].section_mem_map =
			SECTION_MARKED_PRESENT | SECTION_HAS_MEM_MAP | SECTION_IS_ONLINE | SECTION_IS_EARLY;
	}
}

void env_memory_init(void)
{
	mem_section = get_pages(get_order(NR_SECTION_ROOTS * sizeof(*mem_section)), true);
	hide(mem_section, NR_SECTION_ROOTS * sizeof(*mem_section));
	add_sections(ENV_KERNEL_START >> PAGE_SHIFT, ENV_KERNEL_END >> PAGE_SHIFT);
	add_sections(ENV_RAM_START_PFN, ENV_RAM_END_PFN);
}
