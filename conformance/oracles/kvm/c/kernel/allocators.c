// SPDX-License-Identifier: GPL-2.0-only
/* The kernel's allocators by their names: all of them return pages and objects of memory.c. */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include "process/events.h"
#include "memory.h"

struct folio;

struct page *env_alloc_pages_current(gfp_t gfp, unsigned int order) STANDS_IN(alloc_pages_current);
struct page *env_alloc_pages_current(gfp_t gfp, unsigned int order)
{
	return env_get_run(gfp, order);
}
struct page *env_alloc_pages(gfp_t gfp, unsigned int order)
	STANDS_IN(alloc_pages) __attribute__((alias("alloc_pages_current")));

unsigned long env_get_free_pages(gfp_t gfp, unsigned int order) STANDS_IN(__get_free_pages);
unsigned long env_get_free_pages(gfp_t gfp, unsigned int order)
{
	return (unsigned long)page_address(env_get_run(gfp, order));
}
unsigned long env_get_free_pages_noprof(gfp_t gfp, unsigned int order)
	STANDS_IN(get_free_pages_noprof) __attribute__((alias("__get_free_pages")));

unsigned long env_get_zeroed_page(gfp_t gfp) STANDS_IN(get_zeroed_page);
unsigned long env_get_zeroed_page(gfp_t gfp)
{
	return (unsigned long)page_address(env_get_run(gfp | __GFP_ZERO, 0));
}

void env_free_pages(unsigned long run, unsigned int order) STANDS_IN(free_pages);
void env_free_pages(unsigned long run, unsigned int order)
{
	if (run)
		env_put_run((void *)run, order);
}

/* The last reference to a page is gone: the kernel's own pages are freed, the host's keep one of their own. */
void env_page_gone(struct page *page) STANDS_IN(__put_page);
void env_page_gone(struct page *page)
{
	if (page_to_pfn(page) >= ENV_RAM_START_PFN)
		env_complain("MEMORY", "a host page has lost more references than were taken");
	else
		env_put_run(page_address(page), 0);
}
/* A folio begins with its first page. */
void env_folio_put(struct folio *folio) STANDS_IN(__folio_put) __attribute__((alias("__put_page")));

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

/* This one has an alignment argument; what KVM passes is less than the alignment of every object. */
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
void *env_kmem_cache_alloc_trace(void *cache, gfp_t gfp, size_t size)
	STANDS_IN(kmem_cache_alloc_trace) __attribute__((alias("kmalloc_trace")));
void *env_kmalloc_cache(void *cache, gfp_t gfp, size_t size)
	STANDS_IN(__kmalloc_cache_noprof) __attribute__((alias("kmalloc_trace")));

void *env_vcalloc(size_t n, size_t size) STANDS_IN(__vcalloc);
void *env_vcalloc(size_t n, size_t size)
{
	return env_object(n * size, true);
}

void *env_vzalloc(size_t size) STANDS_IN(vzalloc);
void *env_vzalloc(size_t size)
{
	return env_object(size, true);
}

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
	env_put_object((void *)object);
}
#define LIKE_KFREE(symbol)						\
void env_##symbol(const void *object) STANDS_IN(symbol) __attribute__((alias("kfree")))
LIKE_KFREE(kvfree);
LIKE_KFREE(vfree);
LIKE_KFREE(free_percpu);
LIKE_KFREE(shrinker_free);

/* Caches of objects of one size, with an optional constructor. */
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
	env_put_object(cache);
}

void *env_cache_alloc(struct env_cache *cache, gfp_t gfp) STANDS_IN(kmem_cache_alloc);
void *env_cache_alloc(struct env_cache *cache, gfp_t gfp)
{
	void *object = env_object(cache->size, gfp & __GFP_ZERO);

	if (cache->construct)
		cache->construct(object);
	return object;
}

void *env_cache_alloc_lru(struct env_cache *cache, void *lru, gfp_t gfp) STANDS_IN(kmem_cache_alloc_lru);
void *env_cache_alloc_lru(struct env_cache *cache, void *lru, gfp_t gfp)
{
	return env_cache_alloc(cache, gfp);
}

void env_cache_free(struct env_cache *cache, void *object) STANDS_IN(kmem_cache_free);
void env_cache_free(struct env_cache *cache, void *object)
{
	env_put_object(object);
}
