// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's memory: pages and objects out of the direct map, each poisoned when it is handed out and
 * when it comes back, so that reading what was never written or what was freed cannot go unnoticed for
 * long.  What is out is counted.  There is no shortage: an allocation fails only if all is used up.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "kernel.h"

/* As the kernel's own debugging fills memory (include/linux/poison.h). */
#define FRESH	0x5a
#define FREED	0x6b

struct env_ledger env_ledger;

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

/* Each page handed out has a serial number: the same memory used again is another page. */
static u64 serials[ENV_KERNEL_END >> PAGE_SHIFT];
static u64 last_serial;

static unsigned long index_of(const void *page)
{
	return ((unsigned long)page - ENV_DIRECT_MAP) >> PAGE_SHIFT;
}

u64 env_serial(const void *page)
{
	return serials[index_of(page)];
}

static void *take_run(unsigned int order)
{
	unsigned long size = PAGE_SIZE << order;
	void *run = free_runs[order];

	if (run) {
		free_runs[order] = ((void **)run)[1];
		return run;
	}
	unused = ALIGN(unused, size);
	if (order >= MAX_RUN || unused + size > ENV_DIRECT_MAP + ENV_KERNEL_END)
		env_die(ENV_BROKEN, "the kernel's memory is used up", 0);
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
	memset(run, FREED, PAGE_SIZE << order);
	((void **)run)[1] = free_runs[order];
	free_runs[order] = run;
	serials[index_of(run)] = 0;
}

/* Host page tables: the host's memory, not KVM's, hence not in the ledger. */
void *env_table_page(void)
{
	return get_pages(0, true);
}

static struct page *alloc_run(gfp_t gfp, unsigned int order)
{
	struct page *page = virt_to_page(get_pages(order, gfp & __GFP_ZERO));

	memset(page, 0, sizeof(*page));
	atomic_set(&page->_refcount, 1);
	env_ledger.pages += 1L << order;
	return page;
}

static void free_run(void *run, unsigned int order)
{
	if (!serials[index_of(run)]) {
		env_complain("MEMORY", "a page is freed twice");
		return;
	}
	env_ledger.pages -= 1L << order;
	put_pages(run, order);
}

struct page *env_alloc_pages(gfp_t gfp, unsigned int order) STANDS_IN(alloc_pages);
struct page *env_alloc_pages(gfp_t gfp, unsigned int order)
{
	return alloc_run(gfp, order);
}

struct page *env___alloc_pages(gfp_t gfp, unsigned int order) STANDS_IN(__alloc_pages);
struct page *env___alloc_pages(gfp_t gfp, unsigned int order)
{
	return alloc_run(gfp, order);
}

struct page *env___alloc_pages_noprof(gfp_t gfp, unsigned int order) STANDS_IN(__alloc_pages_noprof);
struct page *env___alloc_pages_noprof(gfp_t gfp, unsigned int order)
{
	return alloc_run(gfp, order);
}

struct page *env_alloc_pages_noprof(gfp_t gfp, unsigned int order) STANDS_IN(alloc_pages_noprof);
struct page *env_alloc_pages_noprof(gfp_t gfp, unsigned int order)
{
	return alloc_run(gfp, order);
}

struct page *env_alloc_pages_node(int node, gfp_t gfp, unsigned int order) STANDS_IN(alloc_pages_node_noprof);
struct page *env_alloc_pages_node(int node, gfp_t gfp, unsigned int order)
{
	return alloc_run(gfp, order);
}

unsigned long env_get_free_pages(gfp_t gfp, unsigned int order) STANDS_IN(__get_free_pages);
unsigned long env_get_free_pages(gfp_t gfp, unsigned int order)
{
	return (unsigned long)page_address(alloc_run(gfp, order));
}
unsigned long env_get_free_pages_noprof(gfp_t gfp, unsigned int order)
	STANDS_IN(get_free_pages_noprof) __attribute__((alias("__get_free_pages")));

unsigned long env_get_zeroed_page(gfp_t gfp) STANDS_IN(get_zeroed_page);
unsigned long env_get_zeroed_page(gfp_t gfp)
{
	return (unsigned long)page_address(alloc_run(gfp | __GFP_ZERO, 0));
}
unsigned long env_get_zeroed_page_noprof(gfp_t gfp)
	STANDS_IN(get_zeroed_page_noprof) __attribute__((alias("get_zeroed_page")));

void env_free_pages(unsigned long run, unsigned int order) STANDS_IN(free_pages);
void env_free_pages(unsigned long run, unsigned int order)
{
	if (run)
		free_run((void *)run, order);
}

void env___free_pages(struct page *page, unsigned int order) STANDS_IN(__free_pages);
void env___free_pages(struct page *page, unsigned int order)
{
	if (put_page_testzero(page))
		free_run(page_address(page), order);
}

/* The last reference to a page is gone: the kernel's own pages are freed so, the host's never are here. */
void env_folio_put(struct folio *folio) STANDS_IN(__folio_put);
void env_folio_put(struct folio *folio)
{
	if (page_to_pfn(&folio->page) >= ENV_RAM_START_PFN)
		env_complain("MEMORY", "a host page has lost more references than were taken");
	else
		free_run(page_address(&folio->page), 0);
}

/*
 * Objects: a word before each tells its size.  Small ones are kept by size when they are freed; large ones
 * are runs of pages.
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
	/* A page before it holds the header, so that what asks for pages gets them aligned. */
	return take_run(get_order(size + PAGE_SIZE)) + PAGE_SIZE;
}

void *env_object(size_t size, bool zero)
{
	size_t rounded = max(ALIGN(size, STEP), STEP);
	void *object = rounded <= SMALL ? take_small(rounded) : take_large(rounded);
	struct header *header = object - sizeof(*header);

	memset(object, zero ? 0 : FRESH, rounded);
	header->size = rounded;
	env_ledger.objects++;
	return object;
}

static void free_object(void *object)
{
	struct header *header = object - sizeof(*header);
	size_t size = header->size;

	if (!object)
		return;
	if (!size || size % STEP || size > ENV_KERNEL_END) {
		env_complain("MEMORY", "what is freed was not allocated");
		return;
	}
	env_ledger.objects--;
	header->size = 0;
	memset(object, FREED, size);
	if (size <= SMALL) {
		((void **)object)[1] = free_objects[size / STEP];
		free_objects[size / STEP] = object;
	} else {
		put_pages(object - PAGE_SIZE, get_order(size + PAGE_SIZE));
	}
}

void *env_kmalloc(size_t size, gfp_t gfp) STANDS_IN(__kmalloc);
void *env_kmalloc(size_t size, gfp_t gfp)
{
	return env_object(size, gfp & __GFP_ZERO);
}
#define LIKE_KMALLOC(symbol)						\
void *env_##symbol(size_t size, gfp_t gfp)				\
	STANDS_IN(symbol) __attribute__((alias("__kmalloc")))
LIKE_KMALLOC(__kmalloc_node);
LIKE_KMALLOC(kvmalloc_node);
LIKE_KMALLOC(__vmalloc);
LIKE_KMALLOC(__kmalloc_noprof);
LIKE_KMALLOC(__kmalloc_large_noprof);
LIKE_KMALLOC(__vmalloc_noprof);

LIKE_KMALLOC(__kmalloc_node_noprof);

/* Other than the rest, this one asks for an alignment, of which all that is asked here is less than ours. */
#ifdef HAVE_KVMALLOC_ALIGN
void *env_kvmalloc_align(size_t size, unsigned long align, gfp_t gfp) STANDS_IN(__kvmalloc_node_noprof);
void *env_kvmalloc_align(size_t size, unsigned long align, gfp_t gfp)
{
	return env_object(size, gfp & __GFP_ZERO);
}
#else
LIKE_KMALLOC(__kvmalloc_node_noprof);
#endif

void *env_kmalloc_trace(void *cache, gfp_t gfp, size_t size) STANDS_IN(kmalloc_trace);
void *env_kmalloc_trace(void *cache, gfp_t gfp, size_t size)
{
	return env_object(size, gfp & __GFP_ZERO);
}
void *env_kmalloc_cache(void *cache, gfp_t gfp, size_t size)
	STANDS_IN(__kmalloc_cache_noprof) __attribute__((alias("kmalloc_trace")));

void *env_vcalloc(size_t n, size_t size) STANDS_IN(__vcalloc);
void *env_vcalloc(size_t n, size_t size)
{
	return env_object(n * size, true);
}
void *env_vcalloc_noprof(size_t n, size_t size)
	STANDS_IN(__vcalloc_noprof) __attribute__((alias("__vcalloc")));

void *env_vzalloc(size_t size) STANDS_IN(vzalloc);
void *env_vzalloc(size_t size)
{
	return env_object(size, true);
}
void *env_vzalloc_noprof(size_t size) STANDS_IN(vzalloc_noprof) __attribute__((alias("vzalloc")));

/* One CPU with offset 0: a per-CPU object is an object. */
void *env_alloc_percpu(size_t size, size_t align) STANDS_IN(__alloc_percpu);
void *env_alloc_percpu(size_t size, size_t align)
{
	return env_object(size, true);
}
void *env_pcpu_alloc(size_t size, size_t align)
	STANDS_IN(pcpu_alloc_noprof) __attribute__((alias("__alloc_percpu")));

void env_kfree(const void *object)
{
	free_object((void *)object);
}
#define LIKE_KFREE(symbol)						\
void env_##symbol(const void *object) STANDS_IN(symbol) __attribute__((alias("kfree")))
LIKE_KFREE(kvfree);
LIKE_KFREE(vfree);
LIKE_KFREE(free_percpu);
LIKE_KFREE(kfree_sensitive);
LIKE_KFREE(shrinker_free);

/* Caches of objects of one size, with a constructor perhaps. */
struct env_cache { size_t size; void (*construct)(void *object); };

static struct env_cache *new_cache(size_t size, void (*construct)(void *object))
{
	struct env_cache *cache = env_object(sizeof(*cache), true);

	cache->size = size;
	cache->construct = construct;
	return cache;
}

struct env_cache *env_cache_create(const char *name, unsigned int size, unsigned int align, slab_flags_t flags,
				   void (*construct)(void *object)) STANDS_IN(kmem_cache_create);
struct env_cache *env_cache_create(const char *name, unsigned int size, unsigned int align, slab_flags_t flags,
				   void (*construct)(void *object))
{
	return new_cache(size, construct);
}

struct env_cache *env_cache_create_usercopy(const char *name, unsigned int size, unsigned int align,
					    slab_flags_t flags, unsigned int offset, unsigned int length,
					    void (*construct)(void *object)) STANDS_IN(kmem_cache_create_usercopy);
struct env_cache *env_cache_create_usercopy(const char *name, unsigned int size, unsigned int align,
					    slab_flags_t flags, unsigned int offset, unsigned int length,
					    void (*construct)(void *object))
{
	return new_cache(size, construct);
}

#ifdef HAVE_KMEM_CACHE_ARGS
struct env_cache *env_cache_create_args(const char *name, unsigned int size, struct kmem_cache_args *args,
					slab_flags_t flags) STANDS_IN(__kmem_cache_create_args);
struct env_cache *env_cache_create_args(const char *name, unsigned int size, struct kmem_cache_args *args,
					slab_flags_t flags)
{
	return new_cache(size, (void *)args->ctor);
}
#endif

void env_cache_destroy(struct env_cache *cache) STANDS_IN(kmem_cache_destroy);
void env_cache_destroy(struct env_cache *cache)
{
	free_object(cache);
}

void *env_cache_alloc(struct env_cache *cache, gfp_t gfp) STANDS_IN(kmem_cache_alloc);
void *env_cache_alloc(struct env_cache *cache, gfp_t gfp)
{
	void *object = env_object(cache->size, gfp & __GFP_ZERO);

	if (cache->construct)
		cache->construct(object);
	return object;
}
void *env_cache_alloc_noprof(struct env_cache *cache, gfp_t gfp)
	STANDS_IN(kmem_cache_alloc_noprof) __attribute__((alias("kmem_cache_alloc")));

void *env_cache_alloc_lru(struct env_cache *cache, void *lru, gfp_t gfp) STANDS_IN(kmem_cache_alloc_lru);
void *env_cache_alloc_lru(struct env_cache *cache, void *lru, gfp_t gfp)
{
	return env_cache_alloc(cache, gfp);
}
void *env_cache_alloc_lru_noprof(struct env_cache *cache, void *lru, gfp_t gfp)
	STANDS_IN(kmem_cache_alloc_lru_noprof) __attribute__((alias("kmem_cache_alloc_lru")));

void env_cache_free(struct env_cache *cache, void *object) STANDS_IN(kmem_cache_free);
void env_cache_free(struct env_cache *cache, void *object)
{
	free_object(object);
}

/*
 * The memory map: sections for the kernel's memory and for the host's, all present since boot, so that
 * pfn_valid() finds a struct page for all that is RAM.
 */
static void add_sections(unsigned long start_pfn, unsigned long end_pfn)
{
	unsigned long nr;

	for (nr = pfn_to_section_nr(start_pfn); nr <= pfn_to_section_nr(end_pfn - 1); nr++) {
		struct mem_section **root = &mem_section[SECTION_NR_TO_ROOT(nr)];

		if (!*root)
			*root = env_table_page();
		(*root)[nr & SECTION_ROOT_MASK].section_mem_map =
			SECTION_MARKED_PRESENT | SECTION_HAS_MEM_MAP | SECTION_IS_ONLINE | SECTION_IS_EARLY;
	}
}

void env_memory_init(void)
{
	mem_section = get_pages(get_order(NR_SECTION_ROOTS * sizeof(*mem_section)), true);
	add_sections(ENV_KERNEL_START >> PAGE_SHIFT, ENV_KERNEL_END >> PAGE_SHIFT);
	add_sections(ENV_RAM_START_PFN, ENV_RAM_END_PFN);
}
